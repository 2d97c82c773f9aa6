// One value of a query parameter ⇄ the value field of a key. What is checked here is whether the
// value can be meant at all (characters, length, form of dates); whether the attribute allows this
// kind of matching is the SCP's to decide (rule A23).
#pragma once

#include <string>
#include <string_view>

#include "mapping/data_set.h"
#include "mapping/result.h"
#include "mapping/vr.h"

namespace mapping {

/// The value field, without padding, for the decoded value of a match parameter; empty for
/// universal matching. vr: any but SQ. Fault: what was expected, never the value.
Result<std::string> read_query_value(Vr vr, std::string_view text, bool empty_value_matching);

/// The value of a match parameter, percent-encoded, for a key with a value that is no sequence.
/// Fault: a list in another VR than UI, opaque bytes, a number without a text form.
Result<std::string> write_query_value(const Element& key);

}  // namespace mapping
