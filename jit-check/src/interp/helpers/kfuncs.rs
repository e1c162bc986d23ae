//! Kernel functions, by their names.

use super::super::call::Next;
use super::super::errno::{E2BIG, EINVAL, ENOENT};
use super::super::machine::Machine;
use super::super::maps::Body;
use super::dynptr::{SKB, XDP};
use super::probe::Side;
use super::{Done, bad_argument, misuse, value};
use crate::Program;

/// What a kernel function does with r1 to r5.
pub(in crate::interp) type KfuncFn = fn(&mut Machine, [u64; 5]) -> Done;

/// `BPF_MAX_LOOPS`, the most steps of a numbers iterator.
const MAX_STEPS: i64 = 8 << 20;

/// Instruction word of the callback that a program's exceptions end in (`exception_callback:` among its tags).
pub(in crate::interp) fn exception_callback(program: &Program) -> Option<usize> {
    let bytes = program.btf.as_deref()?;
    let main = program.funcs.first()?;
    let btf = btf::Btf::parse(bytes).ok()?;
    let tag = btf.decl_tags(main.type_id?).find_map(|(_, tag)| tag.strip_prefix("exception_callback:"))?;
    program.funcs.iter().find(|f| f.name == tag).map(|f| f.insn)
}

/// The kernel function of this name, where it is simulated.
pub(in crate::interp) fn by_name(name: &str) -> Option<KfuncFn> {
    Some(match name {
        "bpf_iter_num_new" => iter_num_new,
        "bpf_iter_num_next" => iter_num_next,
        "bpf_iter_num_destroy" => |m, [it, ..]| {
            m.write_out("bpf_iter_num_destroy", it, &[0; 8])?;
            value(0)
        },
        "bpf_dynptr_slice" => {
            |m, [p, off, _, len, _]| m.dynptr_slice("bpf_dynptr_slice", p, off as u32, len as u32, false)
        }
        "bpf_dynptr_slice_rdwr" => {
            |m, [p, off, _, len, _]| m.dynptr_slice("bpf_dynptr_slice_rdwr", p, off as u32, len as u32, true)
        }
        "bpf_dynptr_adjust" => {
            |m, [p, start, end, ..]| m.dynptr_adjust("bpf_dynptr_adjust", p, start as u32, end as u32)
        }
        "bpf_dynptr_is_null" => |m, [p, ..]| {
            let null = m.dynptr_get("bpf_dynptr_is_null", p)?.is_none();
            value(null.into())
        },
        "bpf_dynptr_is_rdonly" => |m, [p, ..]| {
            let found = m.dynptr_get("bpf_dynptr_is_rdonly", p)?;
            value(found.is_some_and(|p| p.read_only).into())
        },
        "bpf_dynptr_size" => |m, [p, ..]| {
            let found = m.dynptr_get("bpf_dynptr_size", p)?;
            value(found.map_or(EINVAL, |p| p.size.into()))
        },
        "bpf_dynptr_clone" => |m, [p, to, ..]| {
            let found = m.dynptr_get("bpf_dynptr_clone", p)?;
            m.dynptr_put("bpf_dynptr_clone", to, found)?;
            value(if found.is_some() { 0 } else { EINVAL })
        },
        "bpf_dynptr_copy" => dynptr_copy,
        "bpf_dynptr_memset" => dynptr_memset,
        "bpf_dynptr_from_skb" => {
            |m, [_, flags, p, ..]| m.dynptr_from_packet("bpf_dynptr_from_skb", p, flags, SKB)
        }
        "bpf_dynptr_from_xdp" => {
            |m, [_, flags, p, ..]| m.dynptr_from_packet("bpf_dynptr_from_xdp", p, flags, XDP)
        }
        "bpf_rdonly_cast" | "bpf_cast_to_kern_ctx" => |_, [obj, ..]| Ok(Next::Value(obj)),
        "bpf_obj_new_impl" | "bpf_obj_new" => {
            |m, [id, ..]| m.new_object("bpf_obj_new_impl", id).map(Next::Value)
        }
        "bpf_percpu_obj_new_impl" | "bpf_percpu_obj_new" => {
            |m, [id, ..]| m.new_object("bpf_percpu_obj_new_impl", id).map(Next::Value)
        }
        "bpf_obj_drop_impl" | "bpf_obj_drop" | "bpf_percpu_obj_drop_impl" | "bpf_percpu_obj_drop" => {
            |m, [obj, ..]| {
                m.drop_object("bpf_obj_drop_impl", obj)?;
                value(0)
            }
        }
        "bpf_refcount_acquire_impl" | "bpf_refcount_acquire" => {
            |m, [obj, ..]| m.acquire_object("bpf_refcount_acquire_impl", obj)
        }
        "bpf_list_push_front_impl" | "bpf_list_push_front" => {
            |m, [head, node, ..]| m.list_push("bpf_list_push_front_impl", head, node, true)
        }
        "bpf_list_push_back_impl" | "bpf_list_push_back" => {
            |m, [head, node, ..]| m.list_push("bpf_list_push_back_impl", head, node, false)
        }
        "bpf_list_pop_front" => |m, [head, ..]| m.list_pop(head, true),
        "bpf_list_pop_back" => |m, [head, ..]| m.list_pop(head, false),
        "bpf_list_front" | "bpf_rbtree_first" => |m, [head, ..]| m.graph_peek(head, true),
        "bpf_list_back" => |m, [head, ..]| m.graph_peek(head, false),
        "bpf_rbtree_add_impl" | "bpf_rbtree_add" => {
            |m, [root, node, less, ..]| m.tree_add("bpf_rbtree_add_impl", root, node, less)
        }
        "bpf_rbtree_remove" => |m, [root, node, ..]| m.tree_remove(root, node),
        "bpf_throw" => |m, [cookie, ..]| m.throw(cookie),
        "bpf_preempt_disable" => |m, _| m.enter("preemption"),
        "bpf_preempt_enable" => |m, _| m.leave_section("bpf_preempt_enable", "preemption"),
        "bpf_rcu_read_lock" => |m, _| m.enter("RCU"),
        "bpf_rcu_read_unlock" => |m, _| m.leave_section("bpf_rcu_read_unlock", "RCU"),
        "bpf_local_irq_save" => |m, [flags, ..]| {
            m.write_out("bpf_local_irq_save", flags, &0x200u64.to_ne_bytes())?;
            m.enter("interrupts")
        },
        "bpf_local_irq_restore" => |m, _| m.leave_section("bpf_local_irq_restore", "interrupts"),
        "bpf_res_spin_lock" => |m, [lock, ..]| {
            // A deadlock is an answer of this lock, not a mistake.
            if m.locks.contains(&lock) { value(-35) } else { m.spin_lock("bpf_res_spin_lock", lock) }
        },
        "bpf_res_spin_unlock" => |m, [lock, ..]| m.spin_unlock("bpf_res_spin_unlock", lock),
        "bpf_arena_alloc_pages" => arena_alloc,
        "bpf_arena_free_pages" => arena_free,
        "bpf_get_current_task_btf" => |m, _| m.task_address().map(Next::Value),
        // The one task there is: nobody else's reference is lost by keeping it.
        "bpf_task_acquire" | "bpf_cgroup_acquire" => |_, [task, ..]| Ok(Next::Value(task)),
        "bpf_task_release" | "bpf_cgroup_release" => |_, _| value(0),
        "bpf_task_from_pid" | "bpf_task_from_vpid" => |m, [pid, ..]| {
            if pid as u32 == m.world.pid { m.task_address().map(Next::Value) } else { Ok(Next::Value(0)) }
        },
        "bpf_wq_init" => |m, [wq, map, flags, ..]| {
            let map = m.map_arg("bpf_wq_init", 2, map)?;
            if flags != 0 {
                return value(EINVAL);
            }
            m.async_init(wq, map)
        },
        "bpf_wq_set_callback_impl" => {
            |m, [wq, callback, ..]| m.timer_set_callback("bpf_wq_set_callback_impl", wq, callback)
        }
        "bpf_wq_start" => |m, [wq, ..]| m.timer_start("bpf_wq_start", wq, 0, 0),
        "bpf_strcmp" => |m, [a, b, ..]| {
            str_pair(m, a, b, |a, b| match a.cmp(b) {
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 1,
            })
        },
        "bpf_strlen" => |m, [s, ..]| str_one(m, s, |s| s.len() as i64),
        "bpf_strnlen" => {
            |m, [s, most, ..]| match m.peek_str(s, STR_ROOM.min(most as usize).max(1) + 1, Side::Kernel) {
                Some(text) => value(((text.len() - 1) as u64).min(most) as i64),
                None => value(EFAULT),
            }
        }
        "bpf_strchr" | "bpf_strchrnul" => {
            |m, [s, c, ..]| {
                str_with(m, s, |s| {
                    if c as u8 == 0 { Some(s.len()) } else { s.iter().position(|&b| b == c as u8) }
                })
            }
        }
        "bpf_strrchr" => {
            |m, [s, c, ..]| {
                str_with(m, s, |s| {
                    if c as u8 == 0 { Some(s.len()) } else { s.iter().rposition(|&b| b == c as u8) }
                })
            }
        }
        "bpf_strstr" => |m, [a, b, ..]| {
            str_pair(m, a, b, |a, b| {
                if b.is_empty() {
                    return 0;
                }
                a.windows(b.len()).position(|w| w == b).map_or(ENOENT, |at| at as i64)
            })
        },
        "bpf_strspn" => {
            |m, [a, b, ..]| str_pair(m, a, b, |a, b| a.iter().take_while(|c| b.contains(c)).count() as i64)
        }
        "bpf_strcspn" => {
            |m, [a, b, ..]| str_pair(m, a, b, |a, b| a.iter().take_while(|c| !b.contains(c)).count() as i64)
        }
        _ => return None,
    })
}

const EFAULT: i64 = super::super::errno::EFAULT;
/// `XATTR_SIZE_MAX`: no string is longer.
const STR_ROOM: usize = 65536;

fn text(m: &Machine, addr: u64) -> Result<Vec<u8>, i64> {
    let mut text = m.peek_str(addr, STR_ROOM + 1, Side::Kernel).ok_or(EFAULT)?;
    text.pop();
    if text.len() >= STR_ROOM { Err(E2BIG) } else { Ok(text) }
}

fn str_one(m: &mut Machine, addr: u64, result: impl Fn(&[u8]) -> i64) -> Done {
    value(text(m, addr).map_or_else(|errno| errno, |t| result(&t)))
}

fn str_with(m: &mut Machine, addr: u64, result: impl Fn(&[u8]) -> Option<usize>) -> Done {
    str_one(m, addr, |t| result(t).map_or(ENOENT, |at| at as i64))
}

fn str_pair(m: &mut Machine, a: u64, b: u64, result: impl Fn(&[u8], &[u8]) -> i64) -> Done {
    match (text(m, a), text(m, b)) {
        (Ok(a), Ok(b)) => value(result(&a, &b)),
        (Err(errno), _) | (_, Err(errno)) => value(errno),
    }
}

fn iter_num_new(m: &mut Machine, [it, start, end, ..]: [u64; 5]) -> Done {
    const NAME: &str = "bpf_iter_num_new";
    let (start, end) = (start as i32, end as i32);
    let errno = match () {
        () if start > end => EINVAL,
        () if i64::from(end) - i64::from(start) > MAX_STEPS => E2BIG,
        () => 0,
    };
    // What the kernel keeps there: the number before the next, and the end.
    let (current, end) = if errno == 0 { (start.wrapping_sub(1), end) } else { (0, 0) };
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&current.to_ne_bytes());
    bytes[4..].copy_from_slice(&end.to_ne_bytes());
    m.write_out(NAME, it, &bytes)?;
    value(errno)
}

fn iter_num_next(m: &mut Machine, [it, ..]: [u64; 5]) -> Done {
    const NAME: &str = "bpf_iter_num_next";
    let bytes = m.bytes_in(NAME, it, 8)?;
    let word = |from: usize| bytes[from..from + 4].try_into().map_or(0, i32::from_ne_bytes);
    let (current, end) = (word(0), word(4));
    if i64::from(current) + 1 >= i64::from(end) {
        m.write_out(NAME, it, &[0; 8])?;
        return Ok(Next::Value(0));
    }
    m.write_out(NAME, it, &current.wrapping_add(1).to_ne_bytes())?;
    Ok(Next::Value(it))
}

fn dynptr_copy(m: &mut Machine, [to, to_off, from, from_off, len]: [u64; 5]) -> Done {
    const NAME: &str = "bpf_dynptr_copy";
    let (Some(target), Some(source)) = (m.dynptr_get(NAME, to)?, m.dynptr_get(NAME, from)?) else {
        return value(EINVAL);
    };
    if target.read_only {
        return value(EINVAL);
    }
    let fits = |size: u32, off: u64| off as u32 <= size && len as u32 <= size - off as u32;
    if !fits(target.size, to_off) || !fits(source.size, from_off) {
        return value(E2BIG);
    }
    let bytes = m.bytes_in(NAME, m.dynptr_address(&source, from_off as u32), len & 0xffff_ffff)?.to_vec();
    m.write_out(NAME, m.dynptr_address(&target, to_off as u32), &bytes)?;
    value(0)
}

fn dynptr_memset(m: &mut Machine, [p, off, len, byte, _]: [u64; 5]) -> Done {
    const NAME: &str = "bpf_dynptr_memset";
    let Some(target) = m.dynptr_get(NAME, p)?.filter(|p| !p.read_only) else { return value(EINVAL) };
    let (off, len) = (off as u32, len as u32);
    if len > target.size || off > target.size - len {
        return value(E2BIG);
    }
    m.write_out(NAME, m.dynptr_address(&target, off), &vec![byte as u8; len as usize])?;
    value(0)
}

fn arena_alloc(m: &mut Machine, [map, addr, count, _, flags]: [u64; 5]) -> Done {
    let n = m.map_arg("bpf_arena_alloc_pages", 1, map)?;
    if flags != 0 {
        return Ok(Next::Value(0));
    }
    match &mut m.maps[n].body {
        Body::Arena(arena) => match arena.alloc(addr, count as u32, &mut m.mem) {
            Ok(addr) => Ok(Next::Value(addr)),
            Err(_) => Err(m.full()),
        },
        _ => Err(bad_argument("bpf_arena_alloc_pages", 1, "the map is no arena")),
    }
}

fn arena_free(m: &mut Machine, [map, addr, count, ..]: [u64; 5]) -> Done {
    let n = m.map_arg("bpf_arena_free_pages", 1, map)?;
    if let Body::Arena(arena) = &mut m.maps[n].body {
        arena.free(addr, count as u32, &mut m.mem);
    }
    value(0)
}

impl Machine {
    fn enter(&mut self, section: &'static str) -> Done {
        *self.objects.sections.entry(section).or_default() += 1;
        value(0)
    }

    fn leave_section(&mut self, name: &str, section: &'static str) -> Done {
        let depth = self.objects.sections.entry(section).or_default();
        if *depth == 0 {
            return Err(misuse(name, format!("no {section} section was entered")));
        }
        *depth -= 1;
        value(0)
    }
}
