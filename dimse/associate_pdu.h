// The structure of an A-ASSOCIATE-RQ or -AC, checked before DCMTK reads it: its parser leaks what
// it had read when it comes upon a fault, which would let anybody eat our memory bit by bit.
#pragma once

#include <cstddef>
#include <string_view>

namespace dimse {

/// Longer ones are not read: 128 contexts and a long user identity fit.
inline constexpr std::size_t max_associate_bytes = 256u << 10;

/// body: the PDU without its six header bytes. True if its items and sub-items fill it exactly and
/// hold what PS3.8, 9.3.2 and 9.3.3 demand of them.
bool is_well_formed_associate(std::string_view body);

}  // namespace dimse
