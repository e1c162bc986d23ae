use super::*;
use bpf_sys::prog::ProgType;

fn spec(section: &str, prog_type: ProgType, attach: AttachTarget) -> ProgramSpec {
    let mut spec = ProgramSpec::new("prog", prog_type, Vec::new());
    spec.section = section.to_owned();
    spec.attach = attach;
    spec
}

#[test]
fn every_section_says_what_it_needs() {
    let text = |text: &str| text.to_owned();
    let cases = [
        (
            spec(
                "kprobe/f",
                ProgType::Kprobe,
                AttachTarget::Kprobe { function: text("f"), offset: 0, ret: false },
            ),
            Need::Event,
        ),
        (
            spec(
                "kprobe",
                ProgType::Kprobe,
                AttachTarget::Kprobe { function: text(""), offset: 0, ret: false },
            ),
            Need::Target,
        ),
        (
            spec(
                "uprobe//bin/sh",
                ProgType::Kprobe,
                AttachTarget::Uprobe { binary: text("/bin/sh"), function: text(""), offset: 0, ret: false },
            ),
            Need::Target,
        ),
        (
            spec("raw_tp/x", ProgType::RawTracepoint, AttachTarget::RawTracepoint { name: text("x") }),
            Need::Nothing,
        ),
        (
            spec("lsm_cgroup/x", ProgType::Lsm, AttachTarget::Lsm { hook: text("x"), cgroup: true }),
            Need::Cgroup,
        ),
        (
            spec("iter/bpf_map_elem", ProgType::Tracing, AttachTarget::Iter { target: text("bpf_map_elem") }),
            Need::Elements,
        ),
        (spec("iter/task", ProgType::Tracing, AttachTarget::Iter { target: text("task") }), Need::Nothing),
        (spec("xdp", ProgType::Xdp, AttachTarget::None), Need::Device),
        (spec("tc", ProgType::SchedCls, AttachTarget::None), Need::DeviceHook),
        (spec("sockops", ProgType::SockOps, AttachTarget::None), Need::Cgroup),
        (spec("sk_lookup", ProgType::SkLookup, AttachTarget::None), Need::Namespace),
        (spec("sk_msg", ProgType::SkMsg, AttachTarget::None), Need::Sockmap),
        (spec("socket", ProgType::SocketFilter, AttachTarget::None), Need::Socket),
        (spec("syscall", ProgType::Syscall, AttachTarget::None), Need::Run),
        (spec("perf_event", ProgType::PerfEvent, AttachTarget::None), Need::PerfEvent),
        (spec("netfilter", ProgType::Netfilter, AttachTarget::None), Need::Netfilter),
        (spec("freplace/f", ProgType::Ext, AttachTarget::Freplace { function: text("f") }), Need::Nothing),
    ];
    for (spec, expected) in cases {
        assert_eq!(need(&spec), expected, "{}", spec.section);
    }
    let mut devmap = spec("xdp/devmap", ProgType::Xdp, AttachTarget::None);
    devmap.expected_attach_type = Some(AttachType::XdpDevmap);
    assert_eq!(need(&devmap), Need::Caller);
    let mut tcx = spec("tcx/ingress", ProgType::SchedCls, AttachTarget::None);
    tcx.expected_attach_type = Some(AttachType::TcxIngress);
    assert_eq!(need(&tcx), Need::Device);
}

#[test]
fn a_wrong_place_is_explained() {
    let xdp = spec("xdp", ProgType::Xdp, AttachTarget::None);
    assert_eq!(
        mismatch(&xdp, &Place::Section).to_string(),
        "program `prog`: cannot be attached (section `xdp`): it needs a network device: give its index"
    );
    let hook = Netfilter { pf: 2, ..Netfilter::default() };
    assert_eq!(
        mismatch(&xdp, &Place::Netfilter(hook)).to_string(),
        "program `prog`: cannot be attached (section `xdp`): it is not attached to netfilter hook 0 of family 2; it needs \
         a network device: give its index"
    );
    let raw = spec("raw_tp/x", ProgType::RawTracepoint, AttachTarget::RawTracepoint { name: "x".into() });
    assert_eq!(
        mismatch(&raw, &Place::Device { ifindex: 1, hook: None }).to_string(),
        "program `prog`: cannot be attached (section `raw_tp/x`): it is not attached to network device 1; its section \
         says all, so give `Place::Section`"
    );
}
