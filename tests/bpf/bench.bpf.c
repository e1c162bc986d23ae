// What tests/bench loads: twenty programs, each with five CO-RE relocations, maps and variables.
#include "bpf.h"
#include "core.h"


#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct {
	int map_count;
	u64 start_code;
	u64 start_stack;
};

struct nsproxy {
	void *pid_ns_for_children;
	void *uts_ns;
};

struct cred {
	u64 cap_effective;
	void *user_ns;
};

struct signal_struct {
	int nr_threads;
};

struct task_struct {
	int pid;
	int tgid;
	int prio;
	u32 flags;
	u64 start_time;
	u64 utime;
	u64 stime;
	u64 nvcsw;
	u64 nivcsw;
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	const struct cred *cred;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	char comm[16];
};

struct file {
	u32 f_flags;
	u64 f_pos;
	void *f_op;
	void *private_data;
};

struct inode {
	u64 i_ino;
	u64 i_size;
	u16 i_mode;
	void *i_sb;
};

struct sock {
	int sk_rcvbuf;
	int sk_sndbuf;
	u16 sk_type;
	u16 sk_protocol;
};
#pragma clang attribute pop

struct {
	U(type, HASH);
	T(key, u32);
	T(value, u64);
	U(max_entries, 1024);
} counts SEC(".maps");

struct {
	U(type, RINGBUF);
	U(max_entries, 4096);
} events SEC(".maps");

const volatile u32 wanted;
u64 total;

#define READ(place) bpf_probe_read_kernel(&value, sizeof(place), &place)

#define P(number, a, b, c, d, e)                                                        \
	SEC("tp/syscalls/sys_enter_fallocate") int program_##number(void *context)      \
	{                                                                               \
		struct task_struct *task = NULL;                                        \
		struct mm_struct *mm = NULL;                                            \
		struct file *file = NULL;                                               \
		struct inode *inode = NULL;                                             \
		struct sock *sock = NULL;                                               \
		u32 key = number;                                                       \
		u64 value = 0, *count;                                                  \
                                                                                        \
		opaque(task);                                                           \
		opaque(file);                                                           \
		opaque(inode);                                                          \
		opaque(sock);                                                           \
		opaque(mm);                                                             \
		if (wanted && (u32)(bpf_get_current_pid_tgid() >> 32) != wanted)        \
			return 0;                                                       \
		READ(a), total += value;                                                \
		READ(b), total += value;                                                \
		READ(c), total += value;                                                \
		READ(d), total += value;                                                \
		READ(e), total += value;                                                \
		count = bpf_map_lookup_elem(&counts, &key);                             \
		if (count)                                                              \
			*count += 1;                                                    \
		else                                                                    \
			bpf_map_update_elem(&counts, &key, &value, 0);                  \
		bpf_ringbuf_output(&events, &value, sizeof(value), 0);                  \
		return 0;                                                               \
	}

P(1, task->pid, task->tgid, task->prio, task->flags, task->mm)
P(2, task->start_time, task->utime, task->stime, task->nvcsw, task->nivcsw)
P(3, task->nsproxy, task->cred, task->signal, task->group_leader, task->real_parent)
P(4, mm->map_count, mm->start_code, mm->start_stack, task->mm, task->pid)
P(5, file->f_flags, file->f_pos, file->f_op, file->private_data, task->tgid)
P(6, inode->i_ino, inode->i_size, inode->i_mode, inode->i_sb, file->f_pos)
P(7, sock->sk_rcvbuf, sock->sk_sndbuf, sock->sk_type, sock->sk_protocol, task->pid)
P(8, task->pid, inode->i_ino, file->f_flags, mm->map_count, sock->sk_type)
P(9, task->utime, inode->i_size, file->f_pos, mm->start_code, sock->sk_sndbuf)
P(10, task->comm[0], task->comm[1], task->comm[2], task->comm[3], task->comm[4])
P(11, task->pid, task->tgid, task->prio, task->flags, task->mm)
P(12, task->start_time, task->utime, task->stime, task->nvcsw, task->nivcsw)
P(13, task->nsproxy, task->cred, task->signal, task->group_leader, task->real_parent)
P(14, mm->map_count, mm->start_code, mm->start_stack, task->mm, task->pid)
P(15, file->f_flags, file->f_pos, file->f_op, file->private_data, task->tgid)
P(16, inode->i_ino, inode->i_size, inode->i_mode, inode->i_sb, file->f_pos)
P(17, sock->sk_rcvbuf, sock->sk_sndbuf, sock->sk_type, sock->sk_protocol, task->pid)
P(18, task->pid, inode->i_ino, file->f_flags, mm->map_count, sock->sk_type)
P(19, task->utime, inode->i_size, file->f_pos, mm->start_code, sock->sk_sndbuf)
P(20, task->comm[0], task->comm[1], task->comm[2], task->comm[3], task->comm[4])

LICENSE("GPL");
