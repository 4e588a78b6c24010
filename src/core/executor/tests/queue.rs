use proptest::prelude::*;

use crate::core::executor::queue::PriorityQueue;

proptest! {
    #[test]
    fn equals_come_out_as_they_came_in_and_higher_ones_before(
        steps in prop::collection::vec(prop::option::weighted(0.6, -2_i64..=2), 1..100),
    ) {
        let mut queue = PriorityQueue::default();
        let mut model: Vec<(i64, usize)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            if let Some(priority) = step {
                queue.push(priority, (priority, number));
                model.push((priority, number));
            } else {
                let next = model.iter().copied().min_by_key(|&(priority, number)| (-priority, number));
                model.retain(|&item| Some(item) != next);
                prop_assert_eq!(queue.pop(), next);
            }
            prop_assert_eq!(queue.len(), model.len());
        }
        model.sort_by_key(|&(priority, number)| (-priority, number));
        let (odd, even): (Vec<_>, Vec<_>) = model.iter().partition(|item| item.1 % 2 == 1);
        let mut taken = queue.take_unless(|item| item.1 % 2 == 1);
        taken.sort_by_key(|&(priority, number)| (-priority, number));
        prop_assert_eq!(taken, even);
        prop_assert_eq!(queue.drain(), odd);
        prop_assert_eq!(queue.len(), 0);
    }
}
