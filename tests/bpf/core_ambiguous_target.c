// What core_ambiguous.bpf.c meets.
struct twice {
	int a;
};
struct twice___other {
	long b;
	int a;
};
struct twice twice;
struct twice___other other;
