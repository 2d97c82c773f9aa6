#include "gateway/queue_command.h"

#include <fmt/chrono.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <charconv>
#include <iostream>

#include "gateway/json_text.h"
#include "gateway/metrics.h"
#include "gateway/sqlite_mpps_queue.h"
#include "mapping/json.h"

namespace gateway {
namespace {

std::string iso(QueueTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

/// In the unit that says it with two or three digits.
std::string age(QueueTime since) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(queue_now() - since).count();
  if (seconds < 180) return fmt::format("{}s", seconds);
  if (seconds < 180 * 60) return fmt::format("{}m", seconds / 60);
  if (seconds < 72 * 3600) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86400);
}

/// In the DICOM JSON Model; null where it has no form in JSON (such as a number out of range).
std::string json_of(const mapping::DataSet& attributes) {
  std::string json;
  return mapping::write_json(attributes, json) ? json : std::string("null");
}

class Session {
 public:
  Session(SqliteMppsQueue& queue, const QueueCommand& command, std::istream& in, std::ostream& out,
          std::ostream& error)
      : queue_(queue), command_(command), in_(in), out_(out), error_(error) {}

  int run() {
    const auto entries = chosen();
    switch (command_.verb) {
      case QueueCommand::Verb::list:
        return list(entries);
      case QueueCommand::Verb::show:
        return each(entries, [this](const QueueEntry& entry) { return show(entry); });
      case QueueCommand::Verb::retry:
        return each(entries, [this](const QueueEntry& entry) { return retry(entry); });
      case QueueCommand::Verb::discard:
        return discard(entries);
      case QueueCommand::Verb::export_messages:
        return each(entries, [this](const QueueEntry& entry) { return export_one(entry); });
    }
    return 1;
  }

 private:
  /// Those with the ids that were given, delivered ones included; without ids, what the filter
  /// says.
  std::vector<QueueEntry> chosen() {
    std::vector<QueueEntry> all;
    if (command_.ids.empty()) {
      all = queue_.list(command_.filter);
      if (all.size() == command_.filter.limit) {
        fmt::print(error_, "the first {} only, see --limit\n", all.size());
      }
      return all;
    }
    for (const MessageId id : command_.ids) {
      const auto found = queue_.entries(id, command_.filter.receiver);
      if (found.empty()) {
        fmt::print(error_, "{}: no such message{}\n", id,
                   command_.filter.receiver.empty() ? "" : " for " + command_.filter.receiver);
        missing_ = true;
      }
      all.insert(all.end(), found.begin(), found.end());
    }
    return all;
  }

  int list(const std::vector<QueueEntry>& entries) {
    std::size_t receiver = 8, caller = 6;
    for (const QueueEntry& entry : entries) {
      receiver = std::max(receiver, entry.receiver.size());
      caller = std::max(caller, entry.caller.size());
    }
    fmt::print(out_, "{:>8}  {:<{}}  {:<10}  {:<6}  {:<{}}  {:>5}  {:>8}  {:<6}  {}\n", "MESSAGE",
               "RECEIVER", receiver, "STATE", "WHAT", "CALLER", caller, "AGE", "ATTEMPTS", "STATUS",
               "REASON");
    for (const QueueEntry& entry : entries) {
      fmt::print(out_, "{:>8}  {:<{}}  {:<10}  {:<6}  {:<{}}  {:>5}  {:>8}  {:04X}    {}\n",
                 entry.id, entry.receiver, receiver, to_string(entry.state),
                 operation_name(entry.operation), printable(entry.caller), caller,
                 age(entry.accepted), entry.attempts, entry.status, entry.reason);
    }
    return missing_ ? 1 : 0;
  }

  template <class Do>
  int each(const std::vector<QueueEntry>& entries, Do what) {
    bool good = !missing_;
    for (const QueueEntry& entry : entries) good = what(entry) && good;
    return good ? 0 : 1;
  }

  bool show(const QueueEntry& entry) {
    fmt::print(out_,
               "message {}\n  receiver     {}\n  state        {}\n  operation    {}\n"
               "  mpps         {}\n  caller       {}\n  transaction  {}\n  accepted     {}\n"
               "  changed      {}\n  due          {}\n  attempts     {}\n  status       {:04X}\n"
               "  reason       {}\n",
               entry.id, entry.receiver, to_string(entry.state), operation_name(entry.operation),
               entry.mpps, printable(entry.caller), entry.transaction, iso(entry.accepted),
               iso(entry.changed), iso(entry.due), entry.attempts, entry.status, entry.reason);
    if (!command_.with_patient_data) return true;
    const auto message = queue_.message(entry.id);
    if (!message) return false;
    fmt::print(out_, "  attributes   {}\n", json_of(message->attributes));
    return true;
  }

  bool retry(const QueueEntry& entry) {
    if (queue_.retry(entry.id, entry.receiver)) {
      fmt::print(out_, "message {} for {}: is tried again now\n", entry.id, entry.receiver);
      return true;
    }
    return refuse(entry, "tried again");
  }

  int discard(const std::vector<QueueEntry>& entries) {
    if (entries.empty()) return missing_ ? 1 : 0;
    if (!command_.yes) {
      fmt::print(out_,
                 "{} will never reach {}: what they say of a step is lost there.\nThe record here "
                 "keeps them: later messages of the step, and Retrieve, go on as if they had "
                 "arrived.\nDiscard? [y/N] ",
                 entries.size() == 1 ? "1 message" : fmt::format("{} messages", entries.size()),
                 entries.size() == 1 ? entries[0].receiver : "their receivers");
      out_.flush();
      std::string answer;
      std::getline(in_, answer);
      if (answer != "y" && answer != "yes") {
        fmt::print(error_, "nothing discarded\n");
        return 1;
      }
    }
    return each(entries, [this](const QueueEntry& entry) {
      if (!queue_.discard(entry.id, entry.receiver)) return refuse(entry, "discarded");
      fmt::print(out_, "message {} for {}: discarded\n", entry.id, entry.receiver);
      return true;
    });
  }

  /// One JSON object a line; the attributes in the DICOM JSON Model. PS3.18, Annex F.
  bool export_one(const QueueEntry& entry) {
    const auto message = queue_.message(entry.id);
    if (!message) return false;
    fmt::print(out_,
               R"({{"message":{},"receiver":"{}","state":"{}","operation":"{}","mpps":"{}",)"
               R"("accepted":"{}","attempts":{},"status":"{:04X}","attributes":{}}})"
               "\n",
               entry.id, entry.receiver, to_string(entry.state), operation_name(entry.operation),
               entry.mpps, iso(entry.accepted), entry.attempts, entry.status,
               json_of(message->attributes));
    return true;
  }

  bool refuse(const QueueEntry& entry, std::string_view what) {
    fmt::print(error_, "message {} for {}: is {} and cannot be {}\n", entry.id, entry.receiver,
               to_string(entry.state), what);
    return false;
  }

  SqliteMppsQueue& queue_;
  const QueueCommand& command_;
  std::istream& in_;
  std::ostream& out_;
  std::ostream& error_;
  bool missing_ = false;
};

}  // namespace

std::optional<std::chrono::seconds> parse_age(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc() || number < 0 || number > 100'000'000) return std::nullopt;
  const std::string unit(end, text.data() + text.size());
  for (const auto& [name, seconds] : {std::pair("", 1), std::pair("s", 1), std::pair("m", 60),
                                      std::pair("h", 3600), std::pair("d", 86400)}) {
    if (unit == name) return std::chrono::seconds(number * seconds);
  }
  return std::nullopt;
}

std::optional<DeliveryState> parse_delivery_state(const std::string& text) {
  for (int state = 0; state <= static_cast<int>(DeliveryState::discarded); ++state) {
    const auto candidate = static_cast<DeliveryState>(state);
    if (text == to_string(candidate)) return candidate;
  }
  return std::nullopt;
}

int run_queue_command(const std::filesystem::path& state_dir, const QueueCommand& command,
                      std::istream& in, std::ostream& out, std::ostream& error) {
  const auto queue = SqliteMppsQueue::open(state_dir, SqliteMppsQueue::Role::visitor);
  if (!queue) {
    fmt::print(error, "{}\n", queue.fault().what);
    return 1;
  }
  try {
    return Session(*queue.value(), command, in, out, error).run();
  } catch (const QueueFailure& failure) {
    fmt::print(error, "{}\n", failure.what());
    return 1;
  }
}

}  // namespace gateway
