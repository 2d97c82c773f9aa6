// The wire's forms of a data set ⇄ DataSet: transfer syntaxes, defined and undefined lengths,
// Specific Character Set. PS3.5, 7 and Annex A. Opens no socket.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/character_set.h"
#include "mapping/data_set.h"
#include "mapping/result.h"

namespace mapping {

enum class TransferSyntax : std::uint8_t {
  implicit_vr_little_endian,
  explicit_vr_little_endian,
  explicit_vr_big_endian
};

std::string_view to_uid(TransferSyntax syntax);
std::optional<TransferSyntax> transfer_syntax_of(std::string_view uid);

struct WireReadOptions {
  /// Of text that declares no set but is not ASCII. Without one such text is a fault.
  std::optional<CharacterSet> assume_character_set;
  std::size_t max_bytes = 16u << 20;  ///< of the encoded data set
};

/// A data set read from a wire, and the set it declared there.
struct ReadDataSet {
  DataSet data_set;
  CharacterSet character_set;  ///< of the root; the default repertoire if none was declared
};

/// Group lengths, (0008,0005) and trailing padding are taken away. Faults: truncated or broken
/// structure, tags out of order twice, undecodable text, a limit; they name the tag.
Result<ReadDataSet> read_data_set(std::string_view encoded, TransferSyntax syntax,
                                  const WireReadOptions& options = {});

/// Chosen in this order, the first that holds the text: configured (and then no other), the set the
/// peer used, the smallest single-byte set, ISO_IR 192. ASCII text declares none. rule G10
struct WireWriteOptions {
  std::optional<CharacterSet> configured;
  std::optional<CharacterSet> used_by_peer;
  /// Declare the configured set for ASCII text too: an MPPS keeps one set through its N-CREATE and
  /// N-SETs (rule F25).
  bool declare_always = false;
  /// Question marks for what the configured set does not hold, instead of a fault (rule G11);
  /// their number is added to what it points to. Null: a fault.
  std::size_t* count_replaced = nullptr;
};

/// Fault (character_set): the configured set does not hold the text, or the length field of its VR
/// not the text in this set; names the tag.
Result<std::string> write_data_set(DataSetView data_set, TransferSyntax syntax,
                                   const WireWriteOptions& options = {});

}  // namespace mapping
