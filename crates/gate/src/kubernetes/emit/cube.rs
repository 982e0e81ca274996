//! Formulas over fields that each have a few values: a disjunction of cubes, each of which allows some values of some
//! fields. It is what a condition comes to when it is asked of every combination of the fields that decide it.

use std::collections::BTreeMap;

use super::field::Field;

/// Values of one field, a bit each.
pub(super) type Values = u8;

/// A conjunction. A field that is not named may have any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cube(pub(super) BTreeMap<Field, Values>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Formula(pub(super) Vec<Cube>);

/// Beyond this many cubes a formula is no rule that anybody could read.
const MAX_CUBES: usize = 256;

impl Cube {
    /// Whether all that this cube allows is allowed by the other.
    fn within(&self, other: &Cube) -> bool {
        other.0.iter().all(|(field, values)| self.0.get(field).is_some_and(|own| own & !values == 0))
    }

    fn and(&self, other: &Cube) -> Option<Cube> {
        let mut both = self.clone();
        for (field, values) in &other.0 {
            let own = both.0.entry(field.clone()).or_insert(*values);
            *own &= values;
            if *own == 0 {
                return None;
            }
        }
        Some(both)
    }
}

impl Formula {
    pub(super) fn never() -> Formula {
        Formula(Vec::new())
    }

    pub(super) fn always() -> Formula {
        Formula(vec![Cube::default()])
    }

    /// One field that has one of some values.
    pub(super) fn of(field: Field, values: Values) -> Formula {
        Formula(vec![Cube(BTreeMap::from([(field, values)]))])
    }

    pub(super) fn is_never(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    fn is_always(&self) -> bool {
        self.0.iter().any(|cube| cube.0.is_empty())
    }

    /// How much there is to read.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|cube| cube.0.len() + 1).sum()
    }

    pub(super) fn or(&self, other: &Formula) -> Formula {
        Formula(self.0.iter().chain(&other.0).cloned().collect()).absorbed()
    }

    /// `None` where it would grow too large.
    pub(super) fn and(&self, other: &Formula) -> Option<Formula> {
        let mut product = Vec::new();
        for a in &self.0 {
            product.extend(other.0.iter().filter_map(|b| a.and(b)));
        }
        let formula = Formula(product).absorbed();
        (formula.0.len() <= MAX_CUBES).then_some(formula)
    }

    /// Leaves out each cube that another one allows anyway.
    fn absorbed(mut self) -> Formula {
        self.0.sort_by_key(|cube| cube.0.len());
        let mut kept: Vec<Cube> = Vec::new();
        for cube in self.0 {
            if !kept.iter().any(|k| cube.within(k)) {
                kept.retain(|k| !k.within(&cube));
                kept.push(cube);
            }
        }
        Formula(kept)
    }

    /// Asks every combination of values, and says it in cubes that are as wide as they can be.
    pub(super) fn table(fields: &[Field], mut holds: impl FnMut(&[usize]) -> bool) -> Formula {
        let counts: Vec<usize> = fields.iter().map(Field::count).collect();
        let total: usize = counts.iter().product();
        let point = |mut n: usize| -> Vec<usize> {
            counts
                .iter()
                .map(|count| {
                    let value = n % count;
                    n /= count;
                    value
                })
                .collect()
        };
        let truths: Vec<bool> = (0..total).map(|n| holds(&point(n))).collect();
        let allowed = |masks: &[Values]| {
            (0..total).all(|n| {
                let inside = point(n).iter().zip(masks).all(|(value, mask)| mask >> value & 1 == 1);
                !inside || truths.get(n).copied().unwrap_or(false)
            })
        };
        let mut cubes: Vec<Vec<Values>> = Vec::new();
        for n in (0..total).filter(|n| truths.get(*n).copied().unwrap_or(false)) {
            let at = point(n);
            let covered = |masks: &Vec<Values>| at.iter().zip(masks).all(|(v, mask)| mask >> v & 1 == 1);
            if cubes.iter().any(covered) {
                continue;
            }
            let mut masks: Vec<Values> = at.iter().map(|value| 1 << value).collect();
            for (i, count) in counts.iter().enumerate() {
                for value in 0..*count {
                    let mut wider = masks.clone();
                    if let Some(mask) = wider.get_mut(i) {
                        *mask |= 1 << value;
                    }
                    if allowed(&wider) {
                        masks = wider;
                    }
                }
            }
            cubes.push(masks);
        }
        let cube = |masks: &Vec<Values>| {
            let named = fields.iter().zip(&counts).zip(masks);
            Cube(
                named
                    .filter(|((_, count), mask)| u32::from(**mask) != (1u32 << **count) - 1)
                    .map(|((field, _), mask)| (field.clone(), *mask))
                    .collect(),
            )
        };
        Formula(cubes.iter().map(cube).collect()).absorbed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_said_in_the_widest_cubes() {
        let fields = [Field::Privileged, Field::HostPid];
        let either = Formula::table(&fields, |at| at.contains(&1));
        let yes = |field: &Field| Formula::of(field.clone(), 0b10);
        assert_eq!(either, yes(&Field::Privileged).or(&yes(&Field::HostPid)));
        assert!(Formula::table(&fields, |_| true).is_always());
        assert!(Formula::table(&fields, |_| false).is_never());
    }

    #[test]
    fn what_another_alternative_allows_anyway_is_left_out() {
        let (a, b) = (Formula::of(Field::Privileged, 0b10), Formula::of(Field::HostPid, 0b10));
        let both = a.and(&b).expect("small");
        assert_eq!(a.or(&both), a);
        assert_eq!(a.or(&b).and(&a), Some(a.clone()));
        assert_eq!(a.and(&Formula::of(Field::Privileged, 0b01)), Some(Formula::never()));
    }
}
