// application/problem+json: what every error answer of the web side says. RFC 9457.
// Holds no patient data and echoes nothing of the request but tokens that are no values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mapping/outcome.h"
#include "mapping/result.h"
#include "mapping/tag.h"

namespace web {

inline constexpr std::string_view problem_json = "application/problem+json";

struct Problem {
  int status = 500;
  std::string detail;                    ///< one sentence for a person; may be empty
  std::string dimse_status;              ///< four hexadecimal digits; empty = there is none
  std::string error_comment;             ///< as the peer sent it
  std::string error_id;                  ///< four hexadecimal digits
  std::vector<mapping::Tag> attributes;  ///< offending attributes, where known
};

/// A fault of the request's content.
Problem to_problem(int status, const mapping::Fault& fault);
/// A transaction that failed with this outcome. detail: the reason of the mapping table's row.
Problem to_problem(int status, const mapping::Outcome& outcome, std::string_view detail);

/// The JSON text. type is about:blank, title the reason phrase of the status.
std::string to_json(const Problem& problem);

/// What a problem report of another server says of a failed transaction, where it is one of ours:
/// dimseStatus, errorComment, errorId, attributes. Text that is unreadable, or longer than 64 KiB,
/// gives an empty Problem.
Problem read_problem(std::string_view json);

}  // namespace web
