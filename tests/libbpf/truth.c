// What a kernel's verifier says of each program of object files, loaded alone: a line of JSON each, for verdicts.rs, which
// says the same of the verifier simulator. Only tests/compare-verifier builds this, in its cache.
//
//	truth [-p PART PARTS] OBJECT...		verdict and the log's messages
//	truth -2 FOLDER [-n PROGRAM] OBJECT...	whole logs of level 2, a file each
//
// Programs of the kernel's selftests say in declaration tags with which flags they want to be loaded, and whether without
// privileges too.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOWN 6000
#define PROGRAMS 512

static char messages[65536];
static size_t messages_len;
// Whether the kernel was asked: libbpf refuses some programs itself.
static bool attempted;
static char *log_text;
static size_t log_size = 1 << 24;

struct tags {
	unsigned int flags;
	bool verdict, unprivileged, auxiliary, auxiliary_unprivileged;
};

static int collect(enum libbpf_print_level level, const char *format, va_list args)
{
	size_t room = sizeof(messages) - messages_len;
	int n;

	if (level > LIBBPF_WARN)
		return 0;
	n = vsnprintf(messages + messages_len, room, format, args);
	if (strstr(messages + messages_len, "BPF program load failed"))
		attempted = true;
	if (n > 0 && (size_t)n < room)
		messages_len += n;
	return n;
}

static void print_json(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\t')
			fputs("\\t", stdout);
		else if (c < 32 || c > 126)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

// Sizes that the selftests' own programs set before they load.
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

static void drop_privileges(bool drop)
{
	static struct __user_cap_data_struct all[2];
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];

	if (drop) {
		syscall(SYS_capget, &header, all);
		memcpy(caps, all, sizeof(caps));
		caps[0].effective &= ~(1u << CAP_NET_ADMIN | 1u << CAP_SYS_ADMIN);
		caps[1].effective &= ~(1u << (CAP_PERFMON - 32) | 1u << (CAP_BPF - 32));
	} else {
		memcpy(caps, all, sizeof(caps));
	}
	if (syscall(SYS_capset, &header, caps))
		perror("capset");
}

static unsigned int flag(const char *name)
{
	static const struct {
		const char *name;
		unsigned int value;
	} flags[] = {
		{ "BPF_F_STRICT_ALIGNMENT", 1 }, { "BPF_F_ANY_ALIGNMENT", 2 }, { "BPF_F_TEST_RND_HI32", 4 },
		{ "BPF_F_TEST_STATE_FREQ", 8 }, { "BPF_F_SLEEPABLE", 16 }, { "BPF_F_XDP_HAS_FRAGS", 32 },
		{ "BPF_F_TEST_REG_INVARIANTS", 128 },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (!strcmp(name, flags[i].name))
			return flags[i].value;
	return strtoul(name, NULL, 0);
}

static struct tags tags_of(const struct btf *btf, const char *program)
{
	struct tags tags = {};
	int id = btf ? btf__find_by_name_kind(btf, program, BTF_KIND_FUNC) : -1;

	for (int i = 1; id > 0 && i < (int)btf__type_cnt(btf); i++) {
		const struct btf_type *type = btf__type_by_id(btf, i);
		const char *tag;
		char *end;

		if (!btf_is_decl_tag(type) || (int)type->type != id || btf_decl_tag(type)->component_idx != -1)
			continue;
		tag = btf__str_by_offset(btf, type->name_off);
		if (strncmp(tag, "comment:", 8))
			continue;
		tag += 8;
		// Newer selftests number their tags.
		strtoul(tag, &end, 10);
		if (end != tag && *end == ':')
			tag = end + 1;
		if (!strncmp(tag, "test_prog_flags=", 16)) {
			bool clear = tag[16] == '!';

			if (clear)
				tags.flags &= ~flag(tag + 17);
			else
				tags.flags |= flag(tag + 16);
		}
		tags.verdict |= !strncmp(tag, "test_expect_failure", 19) || !strncmp(tag, "test_expect_success", 19);
		tags.unprivileged |= strstr(tag, "_unpriv") != NULL;
		tags.auxiliary |= !strcmp(tag, "test_auxiliary");
		tags.auxiliary_unprivileged |= !strcmp(tag, "test_auxiliary_unpriv");
	}
	return tags;
}

static struct bpf_object *open_object(const char *name, const void *bytes, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
	struct bpf_object *object;

	messages[messages_len = 0] = 0;
	object = bpf_object__open_mem(bytes, size, &options);
	if (object)
		fill_sizes(object);
	return object;
}

static void report(const char *object, const struct bpf_program *program, struct tags tags, bool unprivileged, int err)
{
	size_t len = strlen(log_text);

	printf("{\"object\":");
	print_json(object);
	printf(",\"program\":");
	print_json(bpf_program__name(program));
	printf(",\"section\":");
	print_json(bpf_program__section_name(program));
	printf(",\"flags\":%u,\"unpriv\":%s,\"annotated\":%s,\"err\":%d,\"attempted\":%s,\"log\":", tags.flags,
	       unprivileged ? "true" : "false", tags.verdict ? "true" : "false", err,
	       !err || attempted || len ? "true" : "false");
	print_json(len > SHOWN ? log_text + len - SHOWN : log_text);
	printf(",\"libbpf\":");
	print_json(err && !len ? messages : "");
	printf("}\n");
	fflush(stdout);
}

static void load_one(const char *name, const void *bytes, size_t size, const char *wanted, bool unprivileged,
		     const char *folder)
{
	struct bpf_object *object = open_object(name, bytes, size);
	struct bpf_program *program, *own = NULL;
	const struct btf *btf;
	struct tags tags;
	int err;

	if (!object)
		return;
	btf = bpf_object__btf(object);
	tags = tags_of(btf, wanted);
	bpf_object__for_each_program(program, object) {
		struct tags other = tags_of(btf, bpf_program__name(program));

		bpf_program__set_autoload(program, unprivileged ? other.auxiliary_unprivileged : other.auxiliary);
		if (!strcmp(bpf_program__name(program), wanted))
			own = program;
	}
	if (!own)
		goto out;
	bpf_program__set_autoload(own, true);
	bpf_program__set_flags(own, bpf_program__flags(own) | tags.flags);
	*log_text = 0;
	attempted = false;
	bpf_program__set_log_buf(own, log_text, log_size);
	// 4: messages and statistics, no instructions.
	bpf_program__set_log_level(own, folder ? 2 : 4);
	if (unprivileged)
		drop_privileges(true);
	err = bpf_object__load(object);
	if (unprivileged)
		drop_privileges(false);
	if (folder) {
		char path[512];
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s.%s%s.log", folder, name, wanted, unprivileged ? ".unpriv" : "");
		file = fopen(path, "w");
		if (file) {
			fputs(log_text, file);
			fclose(file);
		}
	} else {
		report(name, own, tags, unprivileged, err);
	}
out:
	bpf_object__close(object);
}

static void load_all(const char *path, const char *only, const char *folder)
{
	const char *base = strrchr(path, '/');
	char name[256], *names[PROGRAMS], *end;
	bool unprivileged[PROGRAMS];
	struct bpf_program *program;
	struct bpf_object *object;
	int fd = open(path, O_RDONLY), count = 0;
	struct stat stat;
	void *bytes;

	if (fd < 0 || fstat(fd, &stat)) {
		perror(path);
		return;
	}
	bytes = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	snprintf(name, sizeof(name), "%s", base ? base + 1 : path);
	end = strstr(name, ".bpf.o");
	if (end)
		*end = 0;
	object = open_object(name, bytes, stat.st_size);
	if (!object) {
		printf("{\"object\":");
		print_json(name);
		printf(",\"openerr\":%d,\"libbpf\":", errno);
		print_json(messages);
		printf("}\n");
		goto out;
	}
	bpf_object__for_each_program(program, object) {
		if (count == PROGRAMS || (only && strcmp(only, bpf_program__name(program))))
			continue;
		names[count] = strdup(bpf_program__name(program));
		unprivileged[count++] = tags_of(bpf_object__btf(object), bpf_program__name(program)).unprivileged;
	}
	bpf_object__close(object);
	for (int i = 0; i < count; i++) {
		load_one(name, bytes, stat.st_size, names[i], false, folder);
		if (unprivileged[i])
			load_one(name, bytes, stat.st_size, names[i], true, folder);
		free(names[i]);
	}
out:
	munmap(bytes, stat.st_size);
}

int main(int argc, char **argv)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const char *folder = NULL, *only = NULL;
	int part = 0, parts = 1, option;

	while ((option = getopt(argc, argv, "2:n:p:")) != -1) {
		switch (option) {
		case '2': folder = optarg; break;
		case 'n': only = optarg; break;
		case 'p':
			part = atoi(optarg);
			parts = optind < argc ? atoi(argv[optind++]) : 1;
			break;
		default: return 2;
		}
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	libbpf_set_print(collect);
	log_text = malloc(log_size);
	for (int i = optind; log_text && i < argc; i++)
		if ((i - optind) % parts == part)
			load_all(argv[i], only, folder);
	return 0;
}
