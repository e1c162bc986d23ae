//! Which nodes of a graph are the same, cycles included: the coarsest partition in which equal nodes refer to equal nodes.
//!
//! Partition refinement after Hopcroft: all nodes start in the classes that their own content gives, and a class is split
//! where its members refer to different classes. Of the parts the largest keeps the class's number, so that every node
//! changes its number a logarithmic number of times only, and no graph takes long. What a node refers to is kept as a
//! sum over its references, which a change of one of them changes in one step.

use std::hash::{BuildHasher, RandomState};

/// A graph whose nodes' references have places: the words of type records.
pub(crate) struct Graph {
    /// Where each node's edges begin, and one more for the end.
    starts: Vec<u32>,
    /// Places and targets.
    edges: Vec<(u32, u32)>,
}

impl Graph {
    pub fn new() -> Graph {
        Graph { starts: vec![0], edges: vec![] }
    }

    /// An edge of the node that is being added.
    pub fn edge(&mut self, place: u32, target: u32) {
        self.edges.push((place, target));
    }

    /// Ends the node.
    pub fn end_node(&mut self) {
        self.starts.push(self.edges.len() as u32);
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, node: usize) -> &[(u32, u32)] {
        self.starts
            .get(node)
            .zip(self.starts.get(node + 1))
            .and_then(|(start, end)| self.edges.get(*start as usize..*end as usize))
            .unwrap_or_default()
    }

    /// For each node the nodes that refer to it, and by which place; targets go through `alias` first.
    fn reversed(&self, alias: &[u32]) -> Graph {
        let mut starts = vec![0_u32; self.len() + 1];
        for (_, target) in &self.edges {
            starts[alias[*target as usize] as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut edges = vec![(0, 0); self.edges.len()];
        for node in 0..self.len() {
            for (place, target) in self.of(node) {
                let slot = &mut next[alias[*target as usize] as usize];
                edges[*slot as usize] = (*place, node as u32);
                *slot += 1;
            }
        }
        Graph { starts, edges }
    }
}

/// A sum of hashes, wide enough that no two different ones ever meet.
type Sum = (u64, u64);

/// Hash of a reference: from which place, to which class.
struct Mixer(u64, u64);

impl Mixer {
    fn new() -> Mixer {
        let state = RandomState::new();
        Mixer(state.hash_one(1), state.hash_one(2))
    }

    fn mix(&self, place: u32, class: u32) -> Sum {
        let word = u64::from(place) << 32 | u64::from(class);
        let scramble = |seed: u64| {
            let mut x = (word ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 31) ^ seed.rotate_left(17)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x = (x ^ (x >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x ^ (x >> 32)
        };
        (scramble(self.0), scramble(self.1))
    }

    /// The sum with one class in the place of another.
    fn exchange(&self, sum: &mut Sum, place: u32, old: Option<u32>, new: u32) {
        let (a, b) = self.mix(place, new);
        *sum = (sum.0.wrapping_add(a), sum.1.wrapping_add(b));
        if let Some((a, b)) = old.map(|old| self.mix(place, old)) {
            *sum = (sum.0.wrapping_sub(a), sum.1.wrapping_sub(b));
        }
    }
}

/// Nodes by class.
struct Partition {
    class: Vec<u32>,
    /// Nodes, those of a class beside each other.
    nodes: Vec<u32>,
    /// Where each node stands in `nodes`.
    place: Vec<u32>,
    /// Start and length of each class in `nodes`.
    ranges: Vec<(u32, u32)>,
}

impl Partition {
    fn new(class: &[u32], classes: usize) -> Partition {
        let mut ranges = vec![(0_u32, 0_u32); classes];
        for class in class {
            ranges[*class as usize].1 += 1;
        }
        let mut start = 0;
        for range in &mut ranges {
            range.0 = start;
            start += range.1;
        }
        let mut next: Vec<u32> = ranges.iter().map(|range| range.0).collect();
        let (mut nodes, mut place) = (vec![0; class.len()], vec![0; class.len()]);
        for (node, class) in class.iter().enumerate() {
            let at = &mut next[*class as usize];
            nodes[*at as usize] = node as u32;
            place[node] = *at;
            *at += 1;
        }
        Partition { class: class.to_vec(), nodes, place, ranges }
    }

    fn is_alone(&self, node: u32) -> bool {
        self.ranges[self.class[node as usize] as usize].1 == 1
    }

    /// Puts some members of a class at the end of its range, in this order.
    fn gather(&mut self, class: u32, some: &[u32]) {
        let (start, len) = self.ranges[class as usize];
        let mut end = start + len;
        for node in some {
            end -= 1;
            let (from, other) = (self.place[*node as usize], self.nodes[end as usize]);
            self.nodes[from as usize] = other;
            self.place[other as usize] = from;
            self.nodes[end as usize] = *node;
            self.place[*node as usize] = end;
        }
        for (at, node) in (end..).zip(some) {
            self.nodes[at as usize] = *node;
            self.place[*node as usize] = at;
        }
    }

    /// Splits a class whose range consists of parts of these lengths; the largest keeps the number. Nodes that get a new
    /// one are noted with the old.
    fn split(&mut self, class: u32, parts: &[u32], changed: &mut Vec<(u32, u32)>) {
        let largest = (0..parts.len()).max_by_key(|at| parts[*at]).unwrap_or(0);
        let (mut start, _) = self.ranges[class as usize];
        for (at, len) in parts.iter().enumerate() {
            let range = (start, *len);
            if at == largest {
                self.ranges[class as usize] = range;
            } else if *len > 0 {
                let new = self.ranges.len() as u32;
                self.ranges.push(range);
                for node in &self.nodes[start as usize..(start + len) as usize] {
                    self.class[*node as usize] = new;
                    changed.push((*node, class));
                }
            }
            start += len;
        }
    }
}

/// The class of each node in the coarsest partition that is at least as fine as the `initial` one (its classes are
/// numbered from 0 to below `classes`). References to a node count as references to its alias.
pub(crate) fn refine(graph: &Graph, alias: &[u32], initial: &[u32], classes: usize) -> Vec<u32> {
    let mixer = Mixer::new();
    let back = graph.reversed(alias);
    let mut partition = Partition::new(initial, classes);
    let mut sums: Vec<Sum> = vec![(0, 0); graph.len()];
    let mut dirty: Vec<u32> = vec![];
    for (node, sum) in sums.iter_mut().enumerate() {
        for (place, target) in graph.of(node) {
            mixer.exchange(sum, *place, None, initial[alias[*target as usize] as usize]);
        }
        if !partition.is_alone(node as u32) {
            dirty.push(node as u32);
        }
    }
    let mut is_dirty = vec![false; graph.len()];
    let mut changed: Vec<(u32, u32)> = vec![];
    let mut parts: Vec<u32> = vec![];
    while !dirty.is_empty() {
        let key = |node: &u32| (partition.class[*node as usize], sums[*node as usize]);
        dirty.sort_unstable_by_key(key);
        let mut rest = &dirty[..];
        while let Some(class) = rest.first().map(|node| partition.class[*node as usize]) {
            let count = rest.partition_point(|node| partition.class[*node as usize] <= class);
            let (some, behind) = rest.split_at(count);
            rest = behind;
            // Those that are not dirty refer to what they referred to, all to the same.
            parts.clear();
            parts.push(partition.ranges[class as usize].1 - count as u32);
            let equal = some.chunk_by(|a, b| sums[*a as usize] == sums[*b as usize]);
            parts.extend(equal.map(|part| part.len() as u32));
            if parts[0] > 0 || parts.len() > 2 {
                partition.gather(class, some);
                partition.split(class, &parts, &mut changed);
            }
        }
        dirty.clear();
        for (node, old) in changed.drain(..) {
            let new = partition.class[node as usize];
            for (place, from) in back.of(node as usize) {
                if partition.is_alone(*from) {
                    continue;
                }
                mixer.exchange(&mut sums[*from as usize], *place, Some(old), new);
                if !std::mem::replace(&mut is_dirty[*from as usize], true) {
                    dirty.push(*from);
                }
            }
        }
        dirty.iter().for_each(|node| is_dirty[*node as usize] = false);
    }
    partition.class
}
