#include "gateway/queue_actions.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/json_text.h"
#include "mapping/query.h"

namespace gateway {
namespace {

struct Target {
  MessageId id = 0;
  std::string receiver;
};

/// Nothing if it is not exactly one message and one receiver.
std::optional<Target> read(std::string_view form) {
  std::optional<MessageId> id;
  std::string receiver;
  while (!form.empty()) {
    const std::string_view pair = form.substr(0, form.find('&'));
    form.remove_prefix(std::min(form.size(), pair.size() + 1));
    const std::size_t mark = pair.find('=');
    if (mark == pair.npos) return std::nullopt;
    const std::string_view name = pair.substr(0, mark);
    const auto value = mapping::percent_decode(pair.substr(mark + 1));
    if (!value) return std::nullopt;
    if (name == "message" && !id) {
      const std::string& text = value.value();
      MessageId number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
      id = number;
    } else if (name == "receiver" && receiver.empty()) {
      receiver = value.value();
    } else {
      return std::nullopt;
    }
  }
  if (!id || receiver.empty()) return std::nullopt;
  return Target{*id, receiver};
}

web::Page says(int status, std::string_view sentence) {
  return {status, "application/json", fmt::format(R"({{"says":"{}"}})", json_text(sentence))};
}

}  // namespace

QueueActions::QueueActions(MppsQueue& queue, std::function<void(const std::string&)> wake,
                           mapping::Log log)
    : queue_(queue), wake_(std::move(wake)), log_(std::move(log)) {}

web::Page QueueActions::act(QueueVerb verb, const web::PageAction& action) {
  const auto target = read(action.form);
  if (!target) return says(400, "Expected message=NUMBER&receiver=NAME");
  const bool retries = verb == QueueVerb::retry;
  const auto& [id, receiver] = *target;
  try {
    const auto entries = queue_.entries(id, receiver);
    if (entries.empty()) return says(404, fmt::format("There is no message {} for it", id));
    const auto note = [&](mapping::LogLevel level, std::string_view what) {
      log_(level,
           fmt::format("admin: user=\"{}\" address={} {} message={} receiver={}: {}", action.user,
                       action.address, retries ? "retry" : "discard", id, receiver, what));
    };
    if (!(retries ? queue_.retry(id, receiver) : queue_.discard(id, receiver))) {
      const auto state = to_string(entries[0].state);
      note(mapping::LogLevel::info, fmt::format("not done, it is {}", state));
      return says(409, fmt::format("Message {} for {} is {} and cannot be {}", id, receiver, state,
                                   retries ? "tried again" : "discarded"));
    }
    wake_(receiver);
    note(retries ? mapping::LogLevel::info : mapping::LogLevel::warn, "done");
    return says(200, fmt::format("Message {} for {} is {}", id, receiver,
                                 retries ? "tried again now" : "discarded"));
  } catch (const QueueFailure& failure) {
    log_(mapping::LogLevel::error, fmt::format("the queue cannot be changed: {}", failure.what()));
    return says(503, fmt::format("The queue cannot be changed: {}", failure.what()));
  }
}

}  // namespace gateway
