//! Adjacency in compressed sparse row form: every node's neighbours side by side in one array.

use super::NodeIndex;

/// Rows of neighbours, each ascending and without repetition.
#[derive(Debug, Clone)]
pub(super) struct Csr {
    /// Row `n` is `neighbours[offsets[n]..offsets[n + 1]]`.
    offsets: Box<[u32]>,
    neighbours: Box<[NodeIndex]>,
}

impl Csr {
    /// Every index must be below `node_count`, and there must be at most `u32::MAX` edges.
    pub(super) fn from_edges(node_count: usize, edges: &[(NodeIndex, NodeIndex)]) -> Self {
        let (offsets, neighbours) = bucket(node_count, edges.len(), edges.iter().copied());
        Self::sorted_and_merged(offsets, neighbours)
    }

    /// The same edges seen from their other end.
    pub(super) fn transposed(&self) -> Self {
        let reversed = (0..self.node_count() as NodeIndex)
            .flat_map(|source| self.row(source).iter().map(move |&target| (target, source)));
        // Rows come out ascending and unique because `bucket` keeps the order of its input.
        let (offsets, neighbours) = bucket(self.node_count(), self.edge_count(), reversed);
        Self {
            offsets: offsets.into_boxed_slice(),
            neighbours: neighbours.into_boxed_slice(),
        }
    }

    pub(super) fn row(&self, node: NodeIndex) -> &[NodeIndex] {
        let node = node as usize;
        &self.neighbours[self.offsets[node] as usize..self.offsets[node + 1] as usize]
    }

    pub(super) fn row_len(&self, node: NodeIndex) -> usize {
        let node = node as usize;
        (self.offsets[node + 1] - self.offsets[node]) as usize
    }

    pub(super) fn row_lengths(&self) -> Vec<u32> {
        self.offsets
            .windows(2)
            .map(|ends| ends[1] - ends[0])
            .collect()
    }

    pub(super) fn node_count(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn edge_count(&self) -> usize {
        self.neighbours.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.offsets) + size_of_val(&*self.neighbours)
    }

    fn sorted_and_merged(mut offsets: Vec<u32>, mut neighbours: Vec<NodeIndex>) -> Self {
        let mut kept = 0;
        let mut start = 0;
        for row in 0..offsets.len() - 1 {
            let end = offsets[row + 1] as usize;
            offsets[row] = kept as u32;
            if end - start > 1 {
                neighbours[start..end].sort_unstable();
            }
            let mut last = None;
            for read in start..end {
                let neighbour = neighbours[read];
                if last != Some(neighbour) {
                    neighbours[kept] = neighbour;
                    kept += 1;
                    last = Some(neighbour);
                }
            }
            start = end;
        }
        if let Some(end) = offsets.last_mut() {
            *end = kept as u32;
        }
        neighbours.truncate(kept);
        Self {
            offsets: offsets.into_boxed_slice(),
            neighbours: neighbours.into_boxed_slice(),
        }
    }
}

/// Counting sort of `(row, value)` pairs by row; values keep their order within a row.
fn bucket(
    node_count: usize,
    pair_count: usize,
    pairs: impl DoubleEndedIterator<Item = (NodeIndex, NodeIndex)> + Clone,
) -> (Vec<u32>, Vec<NodeIndex>) {
    let mut offsets = vec![0_u32; node_count + 1];
    for (row, _) in pairs.clone() {
        offsets[row as usize] += 1;
    }
    let mut total = 0;
    for offset in &mut offsets {
        total += *offset;
        *offset = total;
    }
    // Every offset is the end of its row now. Filling from the back turns it into the start,
    // which spares a second array of cursors.
    let mut values = vec![0; pair_count];
    for (row, value) in pairs.rev() {
        let offset = &mut offsets[row as usize];
        *offset -= 1;
        values[*offset as usize] = value;
    }
    (offsets, values)
}
