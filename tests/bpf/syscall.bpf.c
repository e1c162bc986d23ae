// A program that only bpf(BPF_PROG_TEST_RUN) runs (Linux 5.14); its context is the caller's.
#include "bpf.h"

struct request {
	u64 number;
	u64 answer;
};

SEC("syscall") int answer(struct request *request)
{
	request->answer = request->number * 2;
	return 21;
}

LICENSE("GPL");
