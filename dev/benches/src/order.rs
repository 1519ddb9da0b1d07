//! The order of the rows: another one in every round.
//!
//! What ran before a row decides over its caches, the allocator's free lists and the branch predictor. Rows in a fixed order, or in one that
//! only rotates, keep their predecessors: two copies of the same code then differed by a quarter, and exchanged their figures when they
//! exchanged their places.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Generator(u64);

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// Less than `limit`. The bias of the remainder is far below what a few hundred rounds could show.
    fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }
}

/// A seed for one scenario in one process, so that a scenario is shuffled the same way whatever is measured beside it.
pub fn seed_of(seed: u64, id: &str, process: usize) -> u64 {
    let mut generator = Generator::new(seed);
    for byte in id.bytes() {
        generator.0 ^= u64::from(byte);
        generator.number();
    }
    generator.0 ^= process as u64;
    generator.number()
}

/// Orders of some rows, one per round.
pub struct Orders {
    generator: Generator,
    /// Of the round before: which row came before each row. None in the first round, and before its first row.
    predecessors: Vec<Option<usize>>,
    last: Option<usize>,
}

impl Orders {
    pub fn new(seed: u64, rows: usize) -> Orders {
        Orders { generator: Generator::new(seed), predecessors: vec![None; rows], last: None }
    }

    /// A random order in which no row follows the row that it followed in the round before, and none follows itself. Three rows would then
    /// have only one order left, and may follow themselves; one or two rows are only shuffled.
    pub fn next_round(&mut self) -> Vec<usize> {
        let rows = self.predecessors.len();
        loop {
            let order = self.shuffled();
            let predecessors = self.predecessors_in(&order);
            let same = |row: usize| {
                let now = predecessors[row];
                now.is_some() && (now == self.predecessors[row] || (rows > 3 && now == Some(row)))
            };
            if rows <= 2 || !(0..rows).any(same) {
                self.last = order.last().copied();
                self.predecessors = predecessors;
                return order;
            }
        }
    }

    fn shuffled(&mut self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.predecessors.len()).collect();
        for end in (1..order.len()).rev() {
            order.swap(end, self.generator.below(end + 1));
        }
        order
    }

    fn predecessors_in(&self, order: &[usize]) -> Vec<Option<usize>> {
        let mut predecessors = vec![None; order.len()];
        let mut last = self.last;
        for row in order {
            predecessors[*row] = last;
            last = Some(*row);
        }
        predecessors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ROUNDS: usize = 400;

    #[test]
    fn each_row_follows_each_other_row_and_never_the_same_twice() {
        for rows in 3..=10 {
            let mut orders = Orders::new(rows as u64, rows);
            let mut seen = vec![BTreeSet::new(); rows];
            let mut places = vec![BTreeSet::new(); rows];
            let mut before = vec![None; rows];
            let mut last = None;
            for _ in 0..ROUNDS {
                let order = orders.next_round();
                assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), rows, "a permutation");
                for (place, row) in order.into_iter().enumerate() {
                    places[row].insert(place);
                    if let Some(last) = last {
                        assert_ne!(
                            before[row],
                            Some(last),
                            "row {row} of {rows} kept its predecessor"
                        );
                        assert!(rows == 3 || row != last, "row {row} of {rows} followed itself");
                        seen[row].insert(last);
                        before[row] = Some(last);
                    }
                    last = Some(row);
                }
            }
            for row in 0..rows {
                seen[row].remove(&row);
                assert_eq!(
                    seen[row].len(),
                    rows - 1,
                    "row {row} of {rows} followed {:?}",
                    seen[row]
                );
                assert_eq!(places[row].len(), rows, "row {row} of {rows} was at {:?}", places[row]);
            }
        }
    }

    #[test]
    fn two_rows_come_in_both_orders() {
        let mut orders = Orders::new(1, 2);
        let firsts: BTreeSet<_> = (0..ROUNDS).map(|_| orders.next_round()[0]).collect();
        assert_eq!(firsts.len(), 2);
        assert_eq!(Orders::new(1, 1).next_round(), [0]);
    }

    #[test]
    fn a_seed_repeats_its_orders() {
        let rounds = |seed| -> Vec<_> {
            let mut orders = Orders::new(seed, 6);
            (0..ROUNDS).map(|_| orders.next_round()).collect()
        };
        assert_eq!(rounds(seed_of(7, "a", 0)), rounds(seed_of(7, "a", 0)));
        for other in [seed_of(8, "a", 0), seed_of(7, "b", 0), seed_of(7, "a", 1)] {
            assert_ne!(rounds(seed_of(7, "a", 0)), rounds(other));
        }
    }
}
