// What libbpf makes of object files, in the words of objcheck.rs, which says the same of our own loader:
// tests/compare-libbpf compares the two. Only that script builds this, in its cache; nothing of the project needs it.
//
//	check [-q] OBJECT...        -q: no instructions, only their number and a hash
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool brief;
static bool verbose;

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return verbose && level <= LIBBPF_INFO ? vfprintf(stderr, format, args) : 0;
}

// An attach target that only the caller knows is none that a comparison could invent: programs that need one fail on
// both sides. Sizes are another matter, as tools set them from their options.
static void fill_sizes(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		enum bpf_map_type type = bpf_map__type(map);

		if (!bpf_map__max_entries(map) && type != BPF_MAP_TYPE_PERF_EVENT_ARRAY &&
		    type != BPF_MAP_TYPE_SK_STORAGE && type != BPF_MAP_TYPE_INODE_STORAGE &&
		    type != BPF_MAP_TYPE_TASK_STORAGE && type != BPF_MAP_TYPE_CGRP_STORAGE &&
		    type != BPF_MAP_TYPE_STRUCT_OPS)
			bpf_map__set_max_entries(map, 64);
		if (!bpf_map__value_size(map) && type == BPF_MAP_TYPE_STACK_TRACE)
			bpf_map__set_value_size(map, 127 * 8);
	}
}

static struct bpf_object *open_object(const char *name, const void *bytes, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
	struct bpf_object *object = bpf_object__open_mem(bytes, size, &options);

	if (object)
		fill_sizes(object);
	return object;
}

static const char *name_of_map(struct bpf_object *object, __u32 id)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		struct bpf_map_info info = {};
		__u32 size = sizeof(info);

		if (bpf_map__fd(map) >= 0 && !bpf_map_get_info_by_fd(bpf_map__fd(map), &info, &size) && info.id == id)
			return bpf_map__name(map);
	}
	return "?";
}

static void print_map(struct bpf_map *map)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (bpf_map__fd(map) < 0 || bpf_map_get_info_by_fd(bpf_map__fd(map), &info, &size)) {
		printf("  map %s none\n", bpf_map__name(map));
		return;
	}
	printf("  map %s kernel_name=%s type=%u key=%u value=%u max=%u flags=%#x extra=%#llx btf=%d%d vmlinux_value=%u\n",
	       bpf_map__name(map), info.name, info.type, info.key_size, info.value_size, info.max_entries, info.map_flags,
	       (unsigned long long)info.map_extra, !!info.btf_key_type_id, !!info.btf_value_type_id,
	       !!info.btf_vmlinux_value_type_id);
}

static void print_program(struct bpf_object *object, struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	__u32 words;
	struct bpf_insn *insns;
	unsigned long long hash = 0xcbf29ce484222325ULL;

	if (bpf_prog_get_info_by_fd(bpf_program__fd(program), &info, &size)) {
		printf(" no info: %d\n", errno);
		return;
	}
	words = info.xlated_prog_len / 8;
	printf(" kernel_name=%s type=%u gpl=%u attach=%u func_info=%u line_info=%u insns=%u", info.name, info.type,
	       info.gpl_compatible, info.attach_btf_id, info.nr_func_info, info.nr_line_info, words);
	insns = calloc(words, 8);
	memset(&info, 0, sizeof(info));
	info.xlated_prog_insns = (unsigned long)insns;
	info.xlated_prog_len = words * 8;
	size = sizeof(info);
	if (bpf_prog_get_info_by_fd(bpf_program__fd(program), &info, &size)) {
		printf(" no instructions: %d\n", errno);
		free(insns);
		return;
	}
	printf(" xlated=");
	for (__u32 i = 0; i < words; i++) {
		const char *map = NULL;
		unsigned char *b = (unsigned char *)&insns[i];

		if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
		    (insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE)) {
			map = name_of_map(object, insns[i].imm);
			insns[i].imm = 0;
		}
		for (int k = 0; k < 8; k++) {
			hash = (hash ^ b[k]) * 0x100000001b3ULL;
			if (!brief)
				printf("%02x", b[k]);
		}
		for (const char *c = map; c && *c; c++)
			hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
		if (map && !brief)
			printf("[%s]", map);
		if (!brief && i + 1 < words)
			printf(",");
	}
	if (brief)
		printf("%016llx", hash);
	printf("\n");
	free(insns);
}

// The whole object, as it comes.
static void whole(const char *name, const void *bytes, size_t size)
{
	struct bpf_object *object = open_object(name, bytes, size);
	struct bpf_program *program;
	struct bpf_map *map;
	int error;

	if (!object) {
		printf("  open failed errno=%d\n", errno);
		return;
	}
	error = bpf_object__load(object);
	if (error) {
		printf("  whole failed errno=%d\n", -error);
	} else {
		printf("  whole ok\n");
		bpf_object__for_each_map(map, object)
			print_map(map);
		bpf_object__for_each_program(program, object)
			if (bpf_program__autoload(program)) {
				printf("  loaded %s", bpf_program__name(program));
				print_program(object, program);
			}
	}
	bpf_object__close(object);
}

// Each program alone.
static void one(const char *name, const void *bytes, size_t size, unsigned index)
{
	struct bpf_object *object = open_object(name, bytes, size);
	struct bpf_program *program, *wanted = NULL;
	unsigned i = 0;
	int error;

	if (!object)
		return;
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, i == index);
		if (i++ == index)
			wanted = program;
	}
	error = bpf_object__load(object);
	printf("  program %s section=%s", bpf_program__name(wanted), bpf_program__section_name(wanted));
	if (error) {
		printf(" failed errno=%d\n", -error);
	} else {
		printf(" ok");
		print_program(object, wanted);
	}
	bpf_object__close(object);
}

static unsigned programs_of(const char *name, const void *bytes, size_t size)
{
	struct bpf_object *object = open_object(name, bytes, size);
	struct bpf_program *program;
	unsigned count = 0;

	if (!object)
		return 0;
	bpf_object__for_each_program(program, object)
		count++;
	bpf_object__close(object);
	return count;
}

static void object(const char *path)
{
	const char *slash = strrchr(path, '/');
	char name[64];
	struct stat status;
	unsigned count;
	void *bytes;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &status))
		return perror(path);
	bytes = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return perror(path);
	// Up to the first dot, as libbpf names an object by its file.
	snprintf(name, sizeof(name), "%s", slash ? slash + 1 : path);
	printf("object %s\n", name);
	name[strcspn(name, ".")] = 0;
	whole(name, bytes, status.st_size);
	count = programs_of(name, bytes, status.st_size);
	for (unsigned i = 0; i < count; i++)
		one(name, bytes, status.st_size, i);
}

int main(int argc, char **argv)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	libbpf_set_print(silent);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	for (int i = 1; i < argc; i++) {
		int status;
		pid_t child;

		if (!strcmp(argv[i], "-q")) {
			brief = true;
			continue;
		}
		if (!strcmp(argv[i], "-v")) {
			verbose = true;
			continue;
		}
		fflush(NULL);
		child = fork();
		if (!child) {
			object(argv[i]);
			fflush(NULL);
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0 || status)
			printf("object %s crashed\n", argv[i]);
	}
	return 0;
}
