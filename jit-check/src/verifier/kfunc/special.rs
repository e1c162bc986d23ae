//! Kernel functions that the verifier knows by name.

/// Kernel functions whose arguments or results are more than their types say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Special {
    #[default]
    None,
    ObjNew,
    ObjDrop,
    RefcountAcquire,
    ListPushFront,
    ListPushBack,
    ListPopFront,
    ListPopBack,
    ListFront,
    ListBack,
    CastToKernCtx,
    RdonlyCast,
    RcuReadLock,
    RcuReadUnlock,
    RbtreeRemove,
    RbtreeAdd,
    RbtreeFirst,
    RbtreeRoot,
    RbtreeLeft,
    RbtreeRight,
    DynptrFromSkb,
    DynptrFromXdp,
    DynptrFromSkbMeta,
    DynptrFromFile,
    DynptrFileDiscard,
    DynptrSlice,
    DynptrSliceRdwr,
    DynptrClone,
    PercpuObjNew,
    PercpuObjDrop,
    Throw,
    WqSetCallback,
    PreemptDisable,
    PreemptEnable,
    IterCssTaskNew,
    SessionCookie,
    GetKmemCache,
    LocalIrqSave,
    LocalIrqRestore,
    ResSpinLock,
    ResSpinUnlock,
    ResSpinLockIrqsave,
    ResSpinUnlockIrqrestore,
    TaskWorkSchedule,
    XdpPullData,
    Trap,
}

impl Special {
    /// Which one a function of the kernel itself is.
    pub fn of(name: &str) -> Special {
        match name {
            "bpf_obj_new_impl" | "bpf_obj_new" => Special::ObjNew,
            "bpf_obj_drop_impl" | "bpf_obj_drop" => Special::ObjDrop,
            "bpf_refcount_acquire_impl" | "bpf_refcount_acquire" => Special::RefcountAcquire,
            "bpf_list_push_front_impl" | "bpf_list_push_front" => Special::ListPushFront,
            "bpf_list_push_back_impl" | "bpf_list_push_back" => Special::ListPushBack,
            "bpf_list_pop_front" => Special::ListPopFront,
            "bpf_list_pop_back" => Special::ListPopBack,
            "bpf_list_front" => Special::ListFront,
            "bpf_list_back" => Special::ListBack,
            "bpf_cast_to_kern_ctx" => Special::CastToKernCtx,
            "bpf_rdonly_cast" => Special::RdonlyCast,
            "bpf_rcu_read_lock" => Special::RcuReadLock,
            "bpf_rcu_read_unlock" => Special::RcuReadUnlock,
            "bpf_rbtree_remove" => Special::RbtreeRemove,
            "bpf_rbtree_add_impl" | "bpf_rbtree_add" => Special::RbtreeAdd,
            "bpf_rbtree_first" => Special::RbtreeFirst,
            "bpf_rbtree_root" => Special::RbtreeRoot,
            "bpf_rbtree_left" => Special::RbtreeLeft,
            "bpf_rbtree_right" => Special::RbtreeRight,
            "bpf_dynptr_from_skb" => Special::DynptrFromSkb,
            "bpf_dynptr_from_xdp" => Special::DynptrFromXdp,
            "bpf_dynptr_from_skb_meta" => Special::DynptrFromSkbMeta,
            "bpf_dynptr_from_file" => Special::DynptrFromFile,
            "bpf_dynptr_file_discard" => Special::DynptrFileDiscard,
            "bpf_dynptr_slice" => Special::DynptrSlice,
            "bpf_dynptr_slice_rdwr" => Special::DynptrSliceRdwr,
            "bpf_dynptr_clone" => Special::DynptrClone,
            "bpf_percpu_obj_new_impl" | "bpf_percpu_obj_new" => Special::PercpuObjNew,
            "bpf_percpu_obj_drop_impl" | "bpf_percpu_obj_drop" => Special::PercpuObjDrop,
            "bpf_throw" => Special::Throw,
            "bpf_wq_set_callback_impl" | "bpf_wq_set_callback" => Special::WqSetCallback,
            "bpf_preempt_disable" => Special::PreemptDisable,
            "bpf_preempt_enable" => Special::PreemptEnable,
            "bpf_iter_css_task_new" => Special::IterCssTaskNew,
            "bpf_session_cookie" => Special::SessionCookie,
            "bpf_get_kmem_cache" => Special::GetKmemCache,
            "bpf_local_irq_save" => Special::LocalIrqSave,
            "bpf_local_irq_restore" => Special::LocalIrqRestore,
            "bpf_res_spin_lock" => Special::ResSpinLock,
            "bpf_res_spin_unlock" => Special::ResSpinUnlock,
            "bpf_res_spin_lock_irqsave" => Special::ResSpinLockIrqsave,
            "bpf_res_spin_unlock_irqrestore" => Special::ResSpinUnlockIrqrestore,
            "bpf_task_work_schedule_signal_impl"
            | "bpf_task_work_schedule_signal"
            | "bpf_task_work_schedule_resume_impl"
            | "bpf_task_work_schedule_resume" => Special::TaskWorkSchedule,
            "bpf_xdp_pull_data" => Special::XdpPullData,
            "__bpf_trap" => Special::Trap,
            _ => Special::None,
        }
    }

    pub fn is_list(self) -> bool {
        use Special::*;
        matches!(self, ListPushFront | ListPushBack | ListPopFront | ListPopBack | ListFront | ListBack)
    }

    pub fn is_rbtree(self) -> bool {
        use Special::*;
        matches!(self, RbtreeAdd | RbtreeRemove | RbtreeFirst | RbtreeRoot | RbtreeLeft | RbtreeRight)
    }

    /// Whether it calls a subprogram back at once.
    pub fn calls_back(self) -> bool {
        self == Special::RbtreeAdd
    }

    /// Whether it calls a subprogram back later.
    pub fn calls_back_later(self) -> bool {
        matches!(self, Special::WqSetCallback | Special::TaskWorkSchedule)
    }
}
