//! Nodes grouped for workers that are reached by messages: one group is sent, run and fetched as a whole.
//!
//! A message has a price that is the same for a node of a microsecond and for one of a minute. So
//! nodes that could not run at the same time anyway share a group, and short ones that could do so
//! where the price of more messages would be higher than what is gained by running them apart.

use super::{GraphError, NodeIndex, TaskDag, durations};

/// What is known of a node before it is grouped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeCost {
    /// What it adds to the time of the group that it runs in, in seconds; `None` if it has not been measured.
    pub seconds: Option<f64>,
    /// Only nodes of the same kind share a group.
    pub kind: u32,
}

/// What groups are made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupingTerms {
    /// What a group costs beside its nodes, in seconds.
    pub overhead: f64,
    /// How many groups can run at the same time.
    pub slots: usize,
}

/// A node that takes as long as so many times the overhead goes alone: what it would save is no more than
/// a fiftieth of its time, and a group of several would be hard to spread.
const ALONE: f64 = 50.0;

/// Groups of nodes that have not been measured, for each slot: enough that slots which are done early find more.
const UNMEASURED_GROUPS: usize = 4;

/// Nodes that go together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// In topological order.
    pub members: Vec<NodeIndex>,
    /// The nodes of other groups that members wait for, each once, in topological order.
    pub inputs: Vec<NodeIndex>,
    /// The members that nodes of other groups wait for, in topological order.
    pub exports: Vec<NodeIndex>,
}

impl TaskDag {
    /// Groups nodes so that no group waits for a node that waits for one of its own.
    ///
    /// Chains become one group each. What is left is looked at level by level: nodes of one level that take
    /// less than [`ALONE`] times the overhead are spread over as many groups as make the level, its messages
    /// included, shortest. Levels that need but one group become one with their neighbours of that sort.
    ///
    /// Each group comes after those that it waits for.
    pub fn grouped(
        &self,
        costs: &[NodeCost],
        terms: &GroupingTerms,
    ) -> Result<Vec<Group>, GraphError> {
        let seconds: Vec<f64> = costs
            .iter()
            .map(|cost| cost.seconds.unwrap_or(0.0))
            .collect();
        durations::check(&seconds, self.node_count())?;
        if terms.slots == 0 {
            return Err(GraphError::NoWorkers);
        }
        let units = Units::singles(self, costs).chains_fused()?;
        let units = units.levels_batched(terms)?;
        Ok(units.chains_fused()?.into_groups())
    }
}

/// Nodes that are to go together, and the graph of those.
struct Units<'dag> {
    dag: &'dag TaskDag,
    unit_of: Vec<u32>,
    costs: Vec<NodeCost>,
    graph: TaskDag,
}

impl<'dag> Units<'dag> {
    fn singles(dag: &'dag TaskDag, costs: &[NodeCost]) -> Self {
        Self {
            dag,
            unit_of: (0..dag.node_count() as u32).collect(),
            costs: costs.to_vec(),
            graph: dag.clone(),
        }
    }

    /// Puts units together: `merged_into` says under which number each goes on, counted from zero.
    fn merged(self, merged_into: &[u32], count: usize) -> Result<Self, GraphError> {
        let unit_of: Vec<u32> = self
            .unit_of
            .iter()
            .map(|&unit| merged_into[unit as usize])
            .collect();
        let mut costs: Vec<Option<NodeCost>> = vec![None; count];
        for (cost, &unit) in self.costs.iter().zip(merged_into) {
            let sum = &mut costs[unit as usize];
            *sum = Some(match *sum {
                None => *cost,
                Some(before) => NodeCost {
                    seconds: before
                        .seconds
                        .zip(cost.seconds)
                        .map(|(one, other)| one + other),
                    kind: before.kind,
                },
            });
        }
        let mut edges = Vec::with_capacity(self.graph.edge_count());
        for unit in 0..self.graph.node_count() as NodeIndex {
            let from = merged_into[unit as usize];
            let behind = self.graph.successors(unit).iter();
            edges.extend(
                behind
                    .map(|&next| (from, merged_into[next as usize]))
                    .filter(|&(from, to)| from != to),
            );
        }
        Ok(Self {
            dag: self.dag,
            unit_of,
            costs: costs.into_iter().flatten().collect(),
            graph: TaskDag::from_edges(count, &edges)?,
        })
    }

    /// A unit that is the only one to wait for another, and waits for nothing else, goes with that.
    fn chains_fused(self) -> Result<Self, GraphError> {
        let mut merged_into = vec![0; self.graph.node_count()];
        let mut count = 0;
        for &unit in self.graph.topological_order() {
            let before = match *self.graph.predecessors(unit) {
                [before] if self.graph.out_degree(before) == 1 => Some(before),
                _ => None,
            };
            merged_into[unit as usize] = match before {
                Some(before) if self.kind(before) == self.kind(unit) => {
                    merged_into[before as usize]
                }
                _ => {
                    count += 1;
                    count - 1
                }
            };
        }
        self.merged(&merged_into, count as usize)
    }

    fn levels_batched(self, terms: &GroupingTerms) -> Result<Self, GraphError> {
        let mut merged_into = vec![0; self.graph.node_count()];
        let mut count: u32 = 0;
        // The kind of the level above, if that is a single group.
        let mut above: Option<u32> = None;
        for level in self.graph.levels() {
            let batches = self.batches(&level, &merged_into, terms);
            let kind = match batches.as_slice() {
                [only] => Some(self.kind(only[0])),
                _ => None,
            };
            // Every unit of a level waits for one of the level above, and so for all of a single group.
            if kind.is_some() && kind == above {
                count -= 1;
            }
            for batch in batches {
                for unit in batch {
                    merged_into[unit as usize] = count;
                }
                count += 1;
            }
            above = kind;
        }
        self.merged(&merged_into, count as usize)
    }

    /// The units of a level, in the groups that they are to be in.
    fn batches(
        &self,
        level: &[NodeIndex],
        merged_into: &[u32],
        terms: &GroupingTerms,
    ) -> Vec<Vec<NodeIndex>> {
        let alone = ALONE * terms.overhead;
        let mut sorted = level.to_vec();
        // Those of a kind together, measured ones first; of those, units that wait for the same groups, so that
        // fewer results have to be sent to several places.
        sorted.sort_by_key(|&unit| {
            let sources = self.graph.predecessors(unit).iter();
            let first = sources.map(|&source| merged_into[source as usize]).min();
            let is_unmeasured = self.seconds(unit).is_none();
            (self.kind(unit), is_unmeasured, first, unit)
        });
        let mut batches = Vec::new();
        for alike in sorted.chunk_by(|&one, &other| {
            self.kind(one) == self.kind(other)
                && self.seconds(one).is_none() == self.seconds(other).is_none()
        }) {
            if self.seconds(alike[0]).is_none() {
                let most = UNMEASURED_GROUPS.saturating_mul(terms.slots);
                batches.extend(self.spread(alike, most));
                continue;
            }
            let is_long = |unit: &NodeIndex| self.seconds(*unit).is_some_and(|time| time >= alone);
            let (long, short): (Vec<NodeIndex>, Vec<NodeIndex>) =
                alike.iter().copied().partition(is_long);
            let total: f64 = short.iter().filter_map(|&unit| self.seconds(unit)).sum();
            batches.extend(long.into_iter().map(|unit| vec![unit]));
            batches.extend(self.spread(&short, groups_for(total, terms)));
        }
        batches
    }

    /// Units in at most `most` groups of about the same cost, in the order in which they are given.
    fn spread(&self, units: &[NodeIndex], most: usize) -> Vec<Vec<NodeIndex>> {
        let count = most.clamp(1, units.len().max(1));
        // What has not been measured counts the same, and so does what takes no time at all.
        let total: f64 = units.iter().filter_map(|&unit| self.seconds(unit)).sum();
        let weight = |unit: NodeIndex| match self.seconds(unit) {
            Some(seconds) if total > 0.0 => seconds / total,
            _ => 1.0 / units.len() as f64,
        };
        let mut batches: Vec<Vec<NodeIndex>> = vec![Vec::new(); count];
        let mut before = 0.0;
        for &unit in units {
            let middle = before + weight(unit) / 2.0;
            let place = whole(middle * count as f64);
            batches[place.min(count - 1)].push(unit);
            before += weight(unit);
        }
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    fn seconds(&self, unit: NodeIndex) -> Option<f64> {
        self.costs[unit as usize].seconds
    }

    fn kind(&self, unit: NodeIndex) -> u32 {
        self.costs[unit as usize].kind
    }

    fn into_groups(self) -> Vec<Group> {
        let group_of = |node: NodeIndex| self.graph.position(self.unit_of[node as usize]);
        let mut groups = vec![Group::default(); self.graph.node_count()];
        for &node in self.dag.topological_order() {
            let home = group_of(node);
            groups[home].members.push(node);
            let behind = self.dag.successors(node).iter();
            let mut elsewhere: Vec<usize> = behind
                .map(|&next| group_of(next))
                .filter(|&group| group != home)
                .collect();
            elsewhere.sort_unstable();
            elsewhere.dedup();
            if !elsewhere.is_empty() {
                groups[home].exports.push(node);
            }
            for group in elsewhere {
                groups[group].inputs.push(node);
            }
        }
        groups
    }
}

/// Into how many groups short nodes of one level are best divided.
///
/// With up to as many groups as there are slots, a level of `total` seconds takes `total / n` and `n` messages,
/// which is shortest at the square root of `total / overhead`. A single group costs no message more, since it
/// becomes one with its neighbours. No group is to take longer than a node that goes alone.
fn groups_for(total: f64, terms: &GroupingTerms) -> usize {
    if terms.overhead <= 0.0 {
        return usize::MAX;
    }
    let messages = total / terms.overhead;
    // Less than a part in a million more is rounding. Where slots take several groups each, all take as many.
    let mut fewest = whole((messages / ALONE - 1e-6).ceil());
    if fewest > terms.slots {
        fewest = fewest.next_multiple_of(terms.slots);
    }
    let best = whole(messages.sqrt().round()).min(terms.slots);
    let takes = |groups: usize| messages / groups as f64 + groups as f64;
    if best < 2 || takes(best) >= messages {
        return fewest.max(1);
    }
    best.max(fewest)
}

/// A number of groups; there are never more than nodes, whose numbers have 32 bits.
#[allow(clippy::cast_sign_loss)] // what is negative becomes zero
fn whole(number: f64) -> usize {
    number as u32 as usize
}
