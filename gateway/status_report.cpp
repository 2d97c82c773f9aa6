#include "gateway/status_report.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

#include "gateway/advice.h"
#include "gateway/json_text.h"

namespace gateway {
namespace {

std::string json_string(std::string_view text) { return fmt::format("\"{}\"", json_text(text)); }

template <class Time>
std::string milliseconds(Time time) {
  return fmt::format("{}", time.time_since_epoch().count());
}

double in_milliseconds(std::chrono::microseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// [one,two,…]
template <class List, class Write>
std::string array(const List& list, const Write& write) {
  std::string text = "[";
  for (const auto& one : list) {
    if (text.size() > 1) text += ',';
    text += write(one);
  }
  return text + ']';
}

std::string_view name_of(BackendState::Is is) {
  switch (is) {
    case BackendState::Is::up:
      return "up";
    case BackendState::Is::down:
      return "down";
    case BackendState::Is::unknown:
      return "unknown";
  }
  return "";
}

std::string_view name_of(mapping::Caller::Protocol front) {
  return front == mapping::Caller::Protocol::dimse ? "dimse" : "web";
}

/// How a transaction ended, in words.
std::string words_of(const TransactionRecord& record) {
  using How = mapping::Outcome::How;
  switch (record.how) {
    case How::unreachable:
      return "not reached: " + record.comment;
    case How::unknown:
      return "no answer: " + record.comment;
    case How::local:
      if (!record.comment.empty()) return record.comment;
      break;
    case How::answered:
      break;
  }
  const auto words = words_for(record.status);
  return words.empty() ? fmt::format("status {:04X}", record.status) : std::string(words);
}

std::string_view advice_of(const TransactionRecord& record) {
  const auto on_network = advice_for(record.event);
  return on_network.empty() ? advice_for(record.status) : on_network;
}

bool failed(const TransactionRecord& record) {
  return mapping::classify(record.status) == mapping::StatusClass::failure;
}

std::string transaction(const TransactionRecord& record) {
  return fmt::format(
      R"({{"at":{},"tx":{},"front":"{}","backend":{},"operation":"{}","caller":{},"address":{},)"
      R"("status":"{:04X}","failed":{},"words":{},"try":{},"ms":{:.1f}}})",
      milliseconds(record.at), json_string(record.transaction), name_of(record.front),
      json_string(record.backend), operation_name(record.operation), json_string(record.caller),
      json_string(record.address), record.status, failed(record), json_string(words_of(record)),
      json_string(failed(record) ? advice_of(record) : std::string_view()),
      in_milliseconds(record.took));
}

std::string fault(const BackendState& state) {
  if (!state.last_fault) return "null";
  constexpr std::string_view it_says_so =
      "It says so itself: look at its log, and at a proxy in front of it.";
  const auto on_network = advice_for(state.last_fault->event);
  return fmt::format(R"({{"at":{},"why":{},"try":{}}})", milliseconds(state.last_fault->at),
                     json_string(state.last_fault->why),
                     json_string(on_network.empty() ? it_says_so : on_network));
}

/// Every backend that a service names, those that are part of this gateway among them.
std::string backends(const StatusReport& report, const AdminSources& sources) {
  std::set<std::string> names;
  for (const auto& service : sources.services()) {
    names.insert(service.backends.begin(), service.backends.end());
  }
  const auto failures = sources.metrics->recent().failures();
  return array(names, [&](const std::string& name) {
    const auto known = report.backends.find(name);
    const bool own = known == report.backends.end();
    const auto failure = failures.find(name);
    return fmt::format(R"({{"name":{},"state":"{}","since":{},"fault":{},"failure":{}}})",
                       json_string(name), own ? "own" : name_of(known->second.is),
                       own ? "0" : milliseconds(known->second.since),
                       own ? "null" : fault(known->second),
                       failure == failures.end() ? "null" : transaction(failure->second));
  });
}

/// Whether requests are taken now: by backends, or by the queue for them.
bool works(const OfferedService& service, const StatusReport& report) {
  bool any = !service.queued.empty();
  for (const std::string& name : service.backends) {
    const auto known = report.backends.find(name);
    const bool up = known == report.backends.end() || known->second.is == BackendState::Is::up;
    if (!up && service.needed.contains(name)) return false;
    any = any || up;
  }
  return any;
}

std::string services(const StatusReport& report, const AdminSources& sources) {
  return array(sources.services(), [&](const OfferedService& service) {
    return fmt::format(R"({{"name":{},"works":{},"backends":{},"queued":{}}})",
                       json_string(service.name), works(service, report),
                       array(service.backends, json_string), array(service.queued, json_string));
  });
}

/// Those of the last hour: what was changed since then may have no request to show it.
std::string refusals(const StatusReport& report, const AdminSources& sources) {
  std::vector<TransactionRecord> all = sources.metrics->recent().refusals();
  std::erase_if(all, [&](const TransactionRecord& one) {
    return report.now - one.at > std::chrono::hours(1);
  });
  return array(all, transaction);
}

std::string queue(const QueueState& state) {
  const auto receiver = [](const QueueDepth& depth) {
    return fmt::format(R"({{"name":{},"open":{},"held":{},"oldest":{}}})",
                       json_string(depth.receiver), depth.open, depth.held,
                       depth.oldest ? milliseconds(*depth.oldest) : "0");
  };
  const auto held = [](const QueueEntry& entry) {
    return fmt::format(
        R"({{"message":{},"receiver":{},"operation":"{}","caller":{},"accepted":{},"attempts":{},)"
        R"("status":"{:04X}","reason":{}}})",
        entry.id, json_string(entry.receiver), operation_name(entry.operation),
        json_string(entry.caller), milliseconds(entry.accepted), entry.attempts, entry.status,
        json_string(entry.reason));
  };
  return fmt::format(R"({{"fault":{},"write_fault":{},"receivers":{},"held":{}}})",
                     json_string(state.fault), json_string(state.write_fault),
                     array(state.receivers, receiver), array(state.held, held));
}

}  // namespace

std::string to_json(const StatusReport& report, const AdminSources& sources) {
  const auto front = [](const AdminSources::Front& one) {
    return fmt::format(R"({{"name":{},"address":{},"in_use":{},"refused":{}}})",
                       json_string(one.name), json_string(one.address), one.in_use(),
                       one.refused());
  };
  const auto route = [](const RouteNumbers& numbers) {
    return fmt::format(
        R"({{"front":{},"backend":{},"operation":{},"count":{},"failed":{},"seconds":{:.6f}}})",
        json_string(numbers.front), json_string(numbers.backend), json_string(numbers.operation),
        numbers.count, numbers.failed, numbers.seconds);
  };
  const auto minute = [](const RecentTransactions::Minute& one) {
    const double mean =
        one.count == 0 ? 0 : in_milliseconds(one.sum) / static_cast<double>(one.count);
    return fmt::format("[{},{},{:.1f},{:.1f}]", one.count, one.failed, mean,
                       in_milliseconds(one.longest));
  };
  const RecentTransactions& recent = sources.metrics->recent();
  return fmt::format(
      R"({{"now":{},"stopping":{},"token":{},"fronts":{},"services":{},"backends":{},)"
      R"("refusals":{},"routes":{},"minutes":{},"recent":{},"queue":{}}})",
      milliseconds(report.now), report.stopping, json_string(report.token),
      array(sources.fronts, front), services(report, sources), backends(report, sources),
      refusals(report, sources), array(sources.metrics->numbers(), route),
      array(recent.hour(report.now), minute), array(recent.latest(), transaction),
      report.queue ? queue(*report.queue) : "null");
}

}  // namespace gateway
