// A way to control the congestion of TCP connections (Linux 5.6): a struct of functions that the kernel calls.
#include "bpf.h"
#include "core.h"

struct sock;

struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*set_state)(struct sock *sk, u8 new_state);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
} CORE;

SEC("struct_ops/ssthresh") u32 tw_ssthresh(u64 *context)
{
	return 2;
}

SEC("struct_ops/cong_avoid") void tw_cong_avoid(u64 *context)
{
}

SEC("struct_ops/undo_cwnd") u32 tw_undo_cwnd(u64 *context)
{
	return 10;
}

SEC(".struct_ops") struct tcp_congestion_ops tracewell_cc = {
	.ssthresh = (void *)tw_ssthresh,
	.cong_avoid = (void *)tw_cong_avoid,
	.undo_cwnd = (void *)tw_undo_cwnd,
	.name = "tracewell",
};

LICENSE("GPL");
