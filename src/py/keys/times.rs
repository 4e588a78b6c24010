//! Dates, times, durations and time zones.

use super::{
    refusal::{Refusal, Told},
    types::Types,
    walk::Walk,
};
use crate::core::keys::{Encoder, Tag};
use pyo3::{
    intern,
    prelude::*,
    types::{
        PyDate, PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyString, PyTime, PyTimeAccess,
        PyTzInfoAccess,
    },
};

impl<'py> Walk<'_, 'py> {
    /// Whether `value` is one of these; if so it is told.
    #[inline(never)]
    pub(super) fn time(
        &mut self,
        value: &Bound<'py, PyAny>,
        into: &mut Encoder,
    ) -> Result<bool, Box<Refusal>> {
        if let Ok(moment) = value.cast_exact::<PyDateTime>() {
            into.tag(Tag::DateTime);
            tell_date(moment, into);
            tell_time(moment, into);
            self.zone_of(value, moment.get_tzinfo(), into)?;
        } else if let Ok(date) = value.cast_exact::<PyDate>() {
            tell_date(date, into);
        } else if let Ok(time) = value.cast_exact::<PyTime>() {
            tell_time(time, into);
            self.zone_of(value, time.get_tzinfo(), into)?;
        } else if let Ok(duration) = value.cast_exact::<PyDelta>() {
            tell_duration(duration, into);
        } else if Types::get(self.py)?.is_zone(value) {
            self.zone(value, into)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn zone_of(
        &mut self,
        owner: &Bound<'py, PyAny>,
        zone: Option<Bound<'py, pyo3::types::PyTzInfo>>,
        into: &mut Encoder,
    ) -> Told {
        let Some(zone) = zone else {
            into.tag(Tag::None);
            return Ok(());
        };
        self.zone(zone.as_any(), into)
            .map_err(|refusal| refusal.inside(owner, ".tzinfo".to_owned()))
    }

    /// A zone is told by its rules: a fixed offset, or the key of its entry in
    /// the database of time zones.
    fn zone(&mut self, zone: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let py = self.py;
        let types = Types::get(py)?;
        if types.is_fixed_zone(zone) {
            let offset = zone.call_method1(intern!(py, "utcoffset"), (py.None(),))?;
            let name = zone.call_method1(intern!(py, "tzname"), (py.None(),))?;
            into.tag(Tag::FixedZone);
            tell_duration(offset.cast::<PyDelta>().map_err(PyErr::from)?, into);
            self.text(&name, into)
        } else if types.is_named_zone(zone) {
            let key = zone.getattr(intern!(py, "key"))?;
            if !key.is_exact_instance_of::<PyString>() {
                return Err(Refusal::of(zone, "the zone has no key"));
            }
            into.tag(Tag::NamedZone);
            self.text(&key, into)
        } else {
            Err(Refusal::of(
                zone,
                "only datetime.timezone and zoneinfo.ZoneInfo are known as time zones",
            ))
        }
    }
}

fn tell_date(date: &impl PyDateAccess, into: &mut Encoder) {
    into.tag(Tag::Date);
    into.int(date.get_year().into());
    into.int(date.get_month().into());
    into.int(date.get_day().into());
}

fn tell_time(time: &impl PyTimeAccess, into: &mut Encoder) {
    into.tag(Tag::Time);
    into.int(time.get_hour().into());
    into.int(time.get_minute().into());
    into.int(time.get_second().into());
    into.int(time.get_microsecond().into());
    into.int(time.get_fold().into());
}

fn tell_duration(duration: &Bound<'_, PyDelta>, into: &mut Encoder) {
    into.tag(Tag::TimeDelta);
    into.int(duration.get_days().into());
    into.int(duration.get_seconds().into());
    into.int(duration.get_microseconds().into());
}
