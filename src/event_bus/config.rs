//! How large a bus is, and the lanes that a publisher gets.

use super::error::BusError;
use super::lane::{LaneReader, LaneWriter, lane, try_lane};

/// The most cells of one lane: 64 MiB.
pub const MAX_LANE_CELLS: usize = 1 << 20;
/// Announcements of dropped events that can be pending at a time.
const MAX_ANNOUNCEMENTS: usize = 1024;

/// How large a bus is. Lanes are allocated when a publisher is made: 64 bytes per cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusConfig {
    /// Cells in each publisher's Critical lane, at most [`MAX_LANE_CELLS`]. Sizes of lanes are rounded up to powers of two,
    /// and 0 to 1.
    pub critical_cells: usize,
    /// Cells in each publisher's High lane.
    pub high_cells: usize,
    /// Cells in each publisher's Normal lane.
    pub normal_cells: usize,
    /// The most publishers at a time.
    pub max_publishers: usize,
}

impl Default for BusConfig {
    /// 1024, 256 and 256 cells (96 KiB per publisher), 32 publishers.
    fn default() -> Self {
        Self {
            critical_cells: 1024,
            high_cells: 256,
            normal_cells: 256,
            max_publishers: 32,
        }
    }
}

/// Both ends of a publisher's three lanes.
pub(crate) type Lanes = ([LaneWriter; 3], [LaneReader; 3]);

impl BusConfig {
    /// The lanes of a new publisher.
    pub(crate) fn publisher_lanes(&self) -> Result<Lanes, BusError> {
        Ok(split([
            checked_lane("critical_cells", self.critical_cells)?,
            checked_lane("high_cells", self.high_cells)?,
            checked_lane("normal_cells", self.normal_cells)?,
        ]))
    }

    /// The lanes for the bus's own announcements, of which only the High one is used. One announcement per publisher and lane
    /// fits; with very many publishers some are made by the next pump.
    pub(crate) fn announcement_lanes(&self) -> Lanes {
        let announcements = self.max_publishers.saturating_mul(3).min(MAX_ANNOUNCEMENTS);
        split([1, announcements, 1].map(lane))
    }
}

fn checked_lane(field: &'static str, cells: usize) -> Result<(LaneWriter, LaneReader), BusError> {
    if cells > MAX_LANE_CELLS {
        return Err(BusError::LaneTooLarge {
            field,
            cells,
            limit: MAX_LANE_CELLS,
        });
    }
    try_lane(cells).map_err(|_| BusError::NoMemory { field, cells })
}

fn split(lanes: [(LaneWriter, LaneReader); 3]) -> Lanes {
    let [(w0, r0), (w1, r1), (w2, r2)] = lanes;
    ([w0, w1, w2], [r0, r1, r2])
}
