// A program that only bpf(BPF_PROG_TEST_RUN) runs (Linux 5.14); its context is the caller's.
#include "bpf.h"

struct request {
	u64 number;
	u64 answer;
};

u64 last;

SEC("syscall") int answer(struct request *request)
{
	request->answer = request->number * 2;
	last = request->answer;
	return 21;
}

LICENSE("GPL");
