//! Program builder: labels, map references, jumps that find their length.

mod ops;

use crate::{
    AluOp, BuildError, CallTarget, Cond, Imm64, Insn, Instruction, LineRecord, MapRef, MapUse, Program,
};
use crate::{AtomicOp, SourceLine, Swap, Width};

/// Instruction set level, as compilers number them (`-mcpu`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Isa {
    /// The original set.
    V1,
    /// Adds `<` and `<=` jumps. Since Linux 4.14.
    V2,
    /// Adds 32-bit jumps (Linux 5.1) and fetching atomics (Linux 5.12).
    V3,
    /// Adds sign extension, `bswap`, signed division and the long jump. Since Linux 6.6.
    V4,
}

/// A place in a program, made by [`Builder::label`] and set by [`Builder::bind`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Label(usize);

struct Node {
    instruction: Instruction,
    target: Option<Label>,
    map: Option<MapRef>,
}

/// Builds a [`Program`] instruction by instruction.
///
/// Methods chain; the first mistake is kept and reported by [`finish`](Builder::finish). Conditional and plain jumps
/// to a [`Label`] become long where 16 bits do not reach and the [`Isa`] level allows.
pub struct Builder {
    nodes: Vec<Node>,
    /// For each label the node it points at.
    labels: Vec<Option<usize>>,
    lines: Vec<(usize, SourceLine)>,
    isa: Isa,
    error: Option<BuildError>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// A builder that may use every instruction.
    pub fn new() -> Builder {
        Builder::with_isa(Isa::V4)
    }

    /// A builder that refuses instructions above this level.
    pub fn with_isa(isa: Isa) -> Builder {
        Builder { nodes: Vec::new(), labels: Vec::new(), lines: Vec::new(), isa, error: None }
    }

    /// A new label, to be bound once, before or after its uses.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Sets the label to the next instruction.
    pub fn bind(&mut self, label: Label) -> &mut Self {
        let insn = self.nodes.len();
        match self.labels.get_mut(label.0) {
            Some(place @ None) => *place = Some(insn),
            Some(Some(_)) => self.fail(BuildError::LabelBoundTwice { insn, label: label.0 }),
            None => self.fail(BuildError::ForeignLabel { insn, label: label.0 }),
        }
        self
    }

    /// Says where the following instructions come from.
    pub fn source_line(&mut self, source: SourceLine) -> &mut Self {
        self.lines.push((self.nodes.len(), source));
        self
    }

    /// Appends any instruction; offsets in it are taken as they are.
    pub fn push(&mut self, instruction: Instruction) -> &mut Self {
        self.nodes.push(Node { instruction, target: None, map: None });
        self
    }

    fn push_to(&mut self, instruction: Instruction, label: Label) -> &mut Self {
        self.nodes.push(Node { instruction, target: Some(label), map: None });
        self
    }

    fn push_map(&mut self, instruction: Instruction, map: MapRef) -> &mut Self {
        self.nodes.push(Node { instruction, target: None, map: Some(map) });
        self
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    /// Number of instructions appended so far; a 64-bit immediate load counts once.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Lays the program out and fills in all offsets.
    ///
    /// # Errors
    ///
    /// The first mistake made while building; a label that was never bound; a jump that is too long for the level; an
    /// instruction above the level.
    pub fn finish(&self) -> Result<Program, BuildError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let (starts, sizes) = self.layout()?;
        let mut program = Program::default();
        program.insns.reserve(starts.last().copied().unwrap_or(0));
        for (index, node) in self.nodes.iter().enumerate() {
            let at = starts[index];
            if let Some((needs, instead)) = needs(&node.instruction).filter(|(needs, _)| *needs > self.isa) {
                return Err(BuildError::NeedsIsa { insn: at, needs, isa: self.isa, instead });
            }
            if let Some(map) = node.map {
                program.map_refs.push(MapUse { insn: at, map });
            }
            let target = match node.target {
                Some(label) => Some(self.resolve(label, at)?),
                None => None,
            };
            match target {
                None => program.insns.extend_from_slice(&node.instruction.encode()?),
                Some(target) => {
                    let to = starts[target] as i64;
                    self.place(&mut program.insns, &node.instruction, at, to, sizes[index])?;
                }
            }
        }
        for (node, source) in &self.lines {
            program.lines.push(LineRecord { insn: starts[*node], source: source.clone() });
        }
        Ok(program)
    }

    fn resolve(&self, label: Label, insn: usize) -> Result<usize, BuildError> {
        match self.labels.get(label.0) {
            Some(Some(node)) => Ok(*node),
            Some(None) => Err(BuildError::UnboundLabel { insn, label: label.0 }),
            None => Err(BuildError::ForeignLabel { insn, label: label.0 }),
        }
    }

    /// Start of every node (and of the end) and words it takes. Jumps only ever grow, so this comes to rest.
    fn layout(&self) -> Result<(Vec<usize>, Vec<usize>), BuildError> {
        let mut sizes: Vec<usize> = self.nodes.iter().map(|node| node.instruction.slots()).collect();
        loop {
            let mut starts = Vec::with_capacity(sizes.len() + 1);
            let mut at = 0;
            for size in &sizes {
                starts.push(at);
                at += size;
            }
            starts.push(at);
            let mut grew = false;
            if self.isa >= Isa::V4 {
                for (index, node) in self.nodes.iter().enumerate() {
                    let long = long_form_len(&node.instruction);
                    let (Some(label), true) = (node.target, sizes[index] < long) else { continue };
                    let target = self.resolve(label, starts[index])?;
                    if i16::try_from(starts[target] as i64 - starts[index] as i64 - 1).is_err() {
                        sizes[index] = long;
                        grew = true;
                    }
                }
            }
            if !grew {
                return Ok((starts, sizes));
            }
        }
    }

    /// Emits an instruction with its offset to the word `to`, in `size` words.
    fn place(
        &self,
        out: &mut Vec<Insn>,
        instruction: &Instruction,
        at: usize,
        to: i64,
        size: usize,
    ) -> Result<(), BuildError> {
        let distance = to - at as i64 - 1;
        let too_far = BuildError::JumpTooFar { insn: at, distance, isa: self.isa };
        let long = i32::try_from(distance).map_err(|_| too_far.clone())?;
        let near = i16::try_from(distance);
        let done = match *instruction {
            Instruction::Jump { .. } => match near {
                Ok(off) => Instruction::Jump { off },
                Err(_) if self.isa >= Isa::V4 => Instruction::JumpLong { off: long },
                Err(_) => return Err(too_far),
            },
            Instruction::JumpLong { .. } => Instruction::JumpLong { off: long },
            Instruction::Call(CallTarget::Local(_)) => Instruction::Call(CallTarget::Local(long)),
            Instruction::LdImm64 { dst, value: Imm64::Func(_) } => {
                Instruction::LdImm64 { dst, value: Imm64::Func(long) }
            }
            // In the long form an inverted condition skips a gotol; what has no opposite jumps to the gotol instead.
            Instruction::JumpIf { cond, width, dst, src, .. } => match (near, size, cond.negate()) {
                (Ok(off), 1, _) => Instruction::JumpIf { cond, width, dst, src, off },
                (_, 2, Some(cond)) => {
                    out.extend_from_slice(&Instruction::JumpIf { cond, width, dst, src, off: 1 }.encode()?);
                    Instruction::JumpLong { off: long.saturating_sub(1) }
                }
                (_, 3, _) => {
                    out.extend_from_slice(&Instruction::JumpIf { cond, width, dst, src, off: 1 }.encode()?);
                    out.extend_from_slice(&Instruction::Jump { off: 1 }.encode()?);
                    Instruction::JumpLong { off: long.saturating_sub(2) }
                }
                _ => return Err(too_far),
            },
            Instruction::MayGoto { .. } => match (near, size) {
                (Ok(off), 1) => Instruction::MayGoto { off },
                (_, 3) => {
                    out.extend_from_slice(&Instruction::MayGoto { off: 1 }.encode()?);
                    out.extend_from_slice(&Instruction::Jump { off: 1 }.encode()?);
                    Instruction::JumpLong { off: long.saturating_sub(2) }
                }
                _ => return Err(too_far),
            },
            other => other,
        };
        out.extend_from_slice(&done.encode()?);
        Ok(())
    }
}

/// Words the long form of a jump takes; for everything else its own length.
fn long_form_len(instruction: &Instruction) -> usize {
    match instruction {
        Instruction::JumpIf { cond, .. } if cond.negate().is_some() => 2,
        Instruction::JumpIf { .. } | Instruction::MayGoto { .. } => 3,
        other => other.slots(),
    }
}

/// The level an instruction needs where that is above [`Isa::V1`], and what to use below it.
fn needs(instruction: &Instruction) -> Option<(Isa, &'static str)> {
    Some(match instruction {
        Instruction::Alu { op: AluOp::SDiv | AluOp::SMod, .. } => (Isa::V4, "divide absolute values instead"),
        Instruction::MovSx { .. } => (Isa::V4, "shift left and arithmetically right instead"),
        Instruction::LoadSx { .. } => (Isa::V4, "load, then shift left and arithmetically right instead"),
        Instruction::Swap { order: Swap::Bswap, .. } => (Isa::V4, "use the to-big-endian form instead"),
        Instruction::JumpLong { .. } => (Isa::V4, "use a 16-bit jump instead"),
        Instruction::AddrSpaceCast { .. }
        | Instruction::LoadAcquire { .. }
        | Instruction::StoreRelease { .. }
        | Instruction::MayGoto { .. }
        | Instruction::JumpReg { .. } => (Isa::V4, "no older instruction does the same"),
        Instruction::JumpIf { width: Width::W32, .. } => (Isa::V3, "zero-extend and compare 64 bits instead"),
        Instruction::Atomic { op, .. } if *op != AtomicOp::Add => {
            (Isa::V3, "only the plain atomic add is older")
        }
        Instruction::JumpIf { cond: Cond::Lt | Cond::Le | Cond::SLt | Cond::SLe, .. } => {
            (Isa::V2, "exchange the operands or invert the condition instead")
        }
        _ => return None,
    })
}
