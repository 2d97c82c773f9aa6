// "modgate queue": what waits for its receivers, and what a person does about it. Works beside a
// running gateway, which notices within a second.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "gateway/mpps_queue.h"

namespace gateway {

struct QueueCommand {
  enum class Verb : std::uint8_t { list, show, retry, discard, export_messages };
  Verb verb = Verb::list;
  std::vector<MessageId> ids{};  ///< show, retry, discard, export; empty: all that the filter finds
  QueueFilter filter{};          ///< list, and the others without ids
  bool with_patient_data = false;  ///< show: the attributes, too
  bool yes = false;                ///< discard: without asking
};

/// Seconds, or a number with s, m, h or d behind it, such as 90m. Nothing if it is neither.
std::optional<std::chrono::seconds> parse_age(const std::string& text);

/// The state of this name as list prints it.
std::optional<DeliveryState> parse_delivery_state(const std::string& text);

/// Returns the exit status: 0; 1 if something was not found, not done or not confirmed. Patient
/// data go to out for show --with-patient-data and for export only.
int run_queue_command(const std::filesystem::path& state_dir, const QueueCommand& command,
                      std::istream& in, std::ostream& out, std::ostream& error);

}  // namespace gateway
