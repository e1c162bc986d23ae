//! Lists and red-black trees of objects, kept in order beside memory.

use super::super::call::{Callback, Next};
use super::super::errno::EINVAL;
use super::super::machine::Machine;
use super::super::mem::Kind;
use super::super::trap::TrapKind;
use super::{Done, value};

/// A node on its way into a tree.
#[derive(Clone, Debug)]
pub(in crate::interp) struct Insert {
    root: u64,
    node: u64,
    less: usize,
    /// The node that it is compared with.
    at: usize,
}

impl Machine {
    /// Whether a node is in some list or tree.
    fn is_linked(&self, node: u64) -> bool {
        self.objects.graphs.values().any(|nodes| nodes.contains(&node))
    }

    /// A node goes into a list; the list owns the program's reference then.
    pub(super) fn list_push(&mut self, name: &str, head: u64, node: u64, front: bool) -> Done {
        self.check_write(name, head, 16)?;
        self.check_write(name, node, 24)?;
        if self.is_linked(node) {
            self.unreference(name, node)?;
            return value(EINVAL);
        }
        let nodes = self.objects.graphs.entry(head).or_default();
        if front {
            nodes.insert(0, node)
        } else {
            nodes.push(node)
        }
        value(0)
    }

    /// The object that a node is in loses a reference.
    fn unreference(&mut self, name: &str, node: u64) -> Result<(), TrapKind> {
        match self.mem.locate(node) {
            Some((_, Kind::Object, _, off)) => self.drop_object(name, node - u64::from(off)),
            _ => Ok(()),
        }
    }

    pub(super) fn list_pop(&mut self, head: u64, front: bool) -> Done {
        let nodes = self.objects.graphs.entry(head).or_default();
        let node = if nodes.is_empty() {
            0
        } else if front {
            nodes.remove(0)
        } else {
            nodes.pop().unwrap_or(0)
        };
        Ok(Next::Value(node))
    }

    /// The first or last node, which stays.
    pub(super) fn graph_peek(&mut self, head: u64, front: bool) -> Done {
        let nodes = self.objects.graphs.get(&head);
        let node = nodes.and_then(|n| if front { n.first() } else { n.last() }).copied();
        Ok(Next::Value(node.unwrap_or(0)))
    }

    pub(super) fn tree_remove(&mut self, root: u64, node: u64) -> Done {
        let nodes = self.objects.graphs.entry(root).or_default();
        match nodes.iter().position(|&n| n == node) {
            Some(at) => Ok(Next::Value(nodes.remove(at))),
            None => Ok(Next::Value(0)),
        }
    }

    pub(super) fn tree_add(&mut self, name: &str, root: u64, node: u64, less: u64) -> Done {
        let less = self.function_arg(name, 3, less)?;
        self.check_write(name, root, 16)?;
        self.check_write(name, node, 32)?;
        if self.is_linked(node) {
            self.unreference(name, node)?;
            return value(EINVAL);
        }
        self.tree_insert(Insert { root, node, less, at: 0 })
    }

    fn tree_insert(&mut self, insert: Insert) -> Done {
        let nodes = self.objects.graphs.entry(insert.root).or_default();
        let Some(&other) = nodes.get(insert.at) else {
            nodes.push(insert.node);
            return value(0);
        };
        self.call_back(insert.less, [insert.node, other, 0, 0, 0], Callback::Tree(insert))?;
        Ok(Next::Moved)
    }

    /// The program compared the node with the one at hand.
    pub(in crate::interp) fn tree_compared(&mut self, mut insert: Insert, is_less: bool) -> Done {
        if is_less {
            let nodes = self.objects.graphs.entry(insert.root).or_default();
            nodes.insert(insert.at.min(nodes.len()), insert.node);
            return value(0);
        }
        insert.at += 1;
        self.tree_insert(insert)
    }
}
