//! The hybrid clock (specification chapter 2) as two plain numbers.

use syncline::clock::Hlc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    pub ms: i64,
    pub counter: u32,
}

impl Clock {
    pub fn of(hlc: Hlc) -> Self {
        Clock {
            ms: hlc.ms(),
            counter: u32::from(hlc.counter()),
        }
    }

    pub fn hlc(self) -> Hlc {
        Hlc::new(self.ms, self.counter)
    }

    pub fn local_event(&mut self, physical: i64) -> Hlc {
        let ms = self.ms.max(physical);
        self.counter = if ms == self.ms { self.counter + 1 } else { 0 };
        self.ms = ms;
        self.hlc()
    }

    pub fn receive_event(&mut self, physical: i64, received: Hlc) {
        let received = Clock::of(received);
        let ms = self.ms.max(received.ms).max(physical);
        self.counter = match (ms == self.ms, ms == received.ms) {
            (true, true) => self.counter.max(received.counter) + 1,
            (true, false) => self.counter + 1,
            (false, true) => received.counter + 1,
            (false, false) => 0,
        };
        self.ms = ms;
    }
}
