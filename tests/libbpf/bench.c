// libbpf's side of the benches `btf` and `load`; bench/figures.rs is ours, with the same figures under the same names.
//
//	bench btf|relocate|load OBJECT
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ROUNDS 200

static const char *const names[] = { "task_struct", "file",	 "sock",       "sk_buff",    "inode",
				     "dentry",	    "mm_struct", "super_block", "net_device", "bpf_prog" };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

// Memory that is only this process's, KiB.
static double private_kib(void)
{
	char line[256];
	double kib = 0;
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "RssAnon: %lf", &kib);
	if (file)
		fclose(file);
	return kib;
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int btf(void)
{
	double kib = private_kib(), start = now(), opened, found;
	struct btf *btf = btf__load_vmlinux_btf();
	unsigned long sum = 0;

	if (!btf)
		return 1;
	sum += btf__find_by_name_kind(btf, names[0], BTF_KIND_STRUCT);
	opened = now();
	kib = private_kib() - kib;
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < 10; i++)
			sum += btf__find_by_name_kind(btf, names[i], BTF_KIND_STRUCT);
	found = now();
	printf("figure open %f\nfigure memory %f\nfigure find %f\n", (opened - start) / 1e6, kib,
	       (found - opened) / ROUNDS / 10);
	btf__free(btf);
	return !sum;
}

static void *contents(const char *path, size_t *size)
{
	struct stat status;
	FILE *file = fopen(path, "r");
	void *bytes;

	if (!file || stat(path, &status))
		return NULL;
	bytes = malloc(status.st_size);
	*size = fread(bytes, 1, status.st_size, file);
	fclose(file);
	return bytes;
}

static int object(const char *path, int (*step)(struct bpf_object *), const char *figure)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "bench");
	size_t size;
	void *bytes = contents(path, &size);
	double start = now();
	struct bpf_object *object = bytes ? bpf_object__open_mem(bytes, size, &options) : NULL;

	if (!object || step(object))
		return 1;
	printf("figure %s %f\n", figure, (now() - start) / 1e6);
	fflush(stdout);
	// Leaving is not measured, on neither side.
	return 0;
}

int main(int argc, char **argv)
{
	libbpf_set_print(silent);
	if (argc == 2 && !strcmp(argv[1], "btf"))
		return btf();
	if (argc == 3 && !strcmp(argv[1], "relocate"))
		return object(argv[2], bpf_object__prepare, "relocate");
	if (argc == 3 && !strcmp(argv[1], "load"))
		return object(argv[2], bpf_object__load, "load");
	return 2;
}
