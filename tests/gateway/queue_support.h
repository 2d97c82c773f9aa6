// What the tests of the durable queue share: a directory that goes away, messages, and a receiver
// that keeps steps as an MPPS SCP does and can be told to misbehave.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/mpps_queue.h"
#include "mapping/json.h"
#include "mapping/mpps_rules.h"
#include "mapping/services.h"

namespace queue_test {

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "modgate-queue-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Every message is for these.
inline gateway::Judge to(std::vector<std::string> receivers,
                         gateway::Destination::How how = gateway::Destination::How::deliver) {
  return [=](const gateway::RecordedStep*) {
    gateway::Acceptance acceptance;
    for (const auto& receiver : receivers) acceptance.destinations.push_back({receiver, how});
    return acceptance;
  };
}

/// When everything is due that was accepted, and is not to be tried again much later.
inline gateway::QueueTime later() { return gateway::queue_now() + std::chrono::hours(1); }

inline const gateway::Attempt delivered{.result = gateway::Attempt::Result::delivered};
inline const gateway::Attempt held{
    .result = gateway::Attempt::Result::held, .status = 0x0106, .reason = "refused"};

/// The next message that is due, or nothing.
inline std::optional<gateway::Delivery> take(gateway::MppsQueue& queue, const std::string& receiver,
                                             gateway::QueueTime now) {
  auto taken = queue.finish(receiver, {}, now, 1);
  if (taken.deliveries.empty()) return std::nullopt;
  return std::move(taken.deliveries.front());
}

/// Says how it ended, and takes the next.
inline std::optional<gateway::Delivery> finish(gateway::MppsQueue& queue,
                                               const gateway::Delivery& delivery,
                                               const gateway::Attempt& attempt,
                                               gateway::QueueTime now = gateway::queue_now()) {
  auto taken = queue.finish(delivery.receiver, {{delivery, attempt}}, now, 1);
  if (taken.deliveries.empty()) return std::nullopt;
  return std::move(taken.deliveries.front());
}

/// Its receiver refuses the next message that is due within the hour.
inline void hold_next(gateway::MppsQueue& queue, const std::string& receiver) {
  queue.finish(receiver, {{*take(queue, receiver, later()), held}}, gateway::queue_now(), 0);
}

/// A queue without anything in it, for those that override some of it.
struct EmptyQueue : gateway::MppsQueue {
  using MessageId = gateway::MessageId;
  using QueueTime = gateway::QueueTime;
  Accepted accept(const gateway::MppsMessage&, const gateway::Judge&) override { return {}; }
  void decide(MessageId, bool) override {}
  Taken finish(const std::string&, const std::vector<gateway::Ended>&, QueueTime,
               std::size_t) override {
    return {};
  }
  void make_due(const std::string&, QueueTime) override {}
  void check_writable() override {}
  bool changed_elsewhere() override { return false; }
  std::optional<gateway::RecordedStep> step(const mapping::Uid&) override { return {}; }
  bool is_open(const mapping::Uid&, const std::string&) override { return false; }
  std::vector<gateway::QueueEntry> list(const gateway::QueueFilter&) override { return {}; }
  std::vector<gateway::QueueEntry> entries(MessageId, const std::string&) override { return {}; }
  std::optional<gateway::MppsMessage> message(MessageId) override { return {}; }
  std::vector<gateway::QueueDepth> depths() override { return {}; }
  bool retry(MessageId, const std::string&) override { return false; }
  bool discard(MessageId, const std::string&) override { return false; }
  std::size_t forget(QueueTime) override { return 0; }
};

inline mapping::DataSet data_set(const std::string& json) {
  return mapping::read_json(json).value();
}

inline mapping::Uid uid(int number) {
  return *mapping::Uid::parse("1.2.826." + std::to_string(number));
}

/// All that an N-CREATE needs; number is its Performed Procedure Step ID.
inline mapping::DataSet created(int number, const std::string& modality = "CT") {
  return data_set(
      R"({"00080060":{"vr":"CS","Value":[")" + modality +
      R"("]},"00081032":{"vr":"SQ"},"00081120":{"vr":"SQ"},"00100010":{"vr":"PN"},)"
      R"("00100020":{"vr":"LO"},"00100030":{"vr":"DA"},"00100040":{"vr":"CS"},)"
      R"("00200010":{"vr":"SH"},"00400241":{"vr":"AE","Value":["CT1"]},"00400242":{"vr":"SH"},)"
      R"("00400243":{"vr":"SH"},"00400244":{"vr":"DA","Value":["20260102"]},)"
      R"("00400245":{"vr":"TM","Value":["101500"]},"00400250":{"vr":"DA"},"00400251":{"vr":"TM"},)"
      R"("00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["P)" +
      std::to_string(number) +
      R"("]},"00400254":{"vr":"LO"},"00400255":{"vr":"LO"},"00400260":{"vr":"SQ"},)"
      R"("00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH"},"00081110":{"vr":"SQ"},)"
      R"("0020000D":{"vr":"UI","Value":["1.2.9"]},"00321060":{"vr":"LO"},"00400007":{"vr":"LO"},)"
      R"("00400008":{"vr":"SQ"},"00400009":{"vr":"SH"},"00401001":{"vr":"SH"}}]},)"
      R"("00400340":{"vr":"SQ"}})");
}

inline mapping::DataSet in_state(const std::string& state) {
  return data_set(R"({"00400250":{"vr":"DA","Value":["20260102"]},)"
                  R"("00400251":{"vr":"TM","Value":["111500"]},)"
                  R"("00400252":{"vr":"CS","Value":[")" +
                  state + R"("]}})");
}

/// An N-SET that leaves the state alone.
inline mapping::DataSet described(const std::string& text) {
  return data_set(R"({"00400254":{"vr":"LO","Value":[")" + text + R"("]}})");
}

inline gateway::MppsMessage create_message(int number, const std::string& modality = "CT") {
  return {mapping::Transaction::create, uid(number), created(number, modality), "CT1",
          "t" + std::to_string(number)};
}
inline gateway::MppsMessage update_message(int number, mapping::DataSet modifications) {
  return {mapping::Transaction::update, uid(number), std::move(modifications), "CT1",
          "t" + std::to_string(number)};
}

/// A line of Receiver::log(), about step number. what: "create", "update a".
inline std::string effect(int number, const std::string& what) {
  const std::size_t end = std::min(what.find(' '), what.size());
  return what.substr(0, end) + " " + uid(number).text() + what.substr(end);
}

/// An MPPS SCP in memory. Safe from any thread.
class Receiver : public mapping::MppsService {
 public:
  using Outcome = mapping::Outcome;
  /// Asked before each request, with its number from 1; an outcome is returned instead of serving.
  std::function<std::optional<Outcome>(mapping::Transaction, int)> fault;
  /// The request is served, and then this is answered instead.
  std::function<std::optional<Outcome>(mapping::Transaction, int)> lost_answer;
  bool offers_retrieve = true;

  Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                 const mapping::Context&) override {
    return serve(mapping::Transaction::create, [&] {
      if (steps_.contains(mpps.text())) {
        return Outcome::answered(mapping::dimse_status::duplicate_sop_instance);
      }
      steps_[mpps.text()] = attributes;
      log_.push_back("create " + mpps.text());
      return Outcome();
    });
  }
  Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                 const mapping::Context&) override {
    return serve(mapping::Transaction::update, [&] {
      const auto step = steps_.find(mpps.text());
      if (step == steps_.end()) {
        return Outcome::answered(mapping::dimse_status::no_such_sop_instance);
      }
      if (mapping::is_final(step->second)) {
        Outcome final = Outcome::may_no_longer_be_updated();
        final.how = Outcome::How::answered;
        return final;
      }
      step->second = mapping::apply_modifications(step->second, modifications);
      log_.push_back("update " + mpps.text() + " " +
                     std::string(modifications.view().text(mapping::Tag(0x0040, 0x0254))) +
                     std::string(modifications.view().text(mapping::Tag(0x0040, 0x0252))));
      return Outcome();
    });
  }
  Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList&, mapping::DataSet& found,
                   const mapping::Context&) override {
    return serve(mapping::Transaction::retrieve, [&] {
      if (!offers_retrieve) {
        return Outcome::unreachable(mapping::Transaction::retrieve,
                                    mapping::NetworkEvent::abstract_syntax_refused, "no N-GET");
      }
      const auto step = steps_.find(mpps.text());
      if (step == steps_.end()) {
        return Outcome::answered(mapping::dimse_status::no_such_sop_instance);
      }
      found = step->second;
      return Outcome();
    });
  }

  /// What took effect, in order.
  std::vector<std::string> log() const {
    const std::lock_guard lock(mutex_);
    return log_;
  }
  std::vector<std::string> log_of(int number) const {
    std::vector<std::string> lines;
    for (const std::string& line : log()) {
      if ((line + " ").find(" " + uid(number).text() + " ") != std::string::npos) {
        lines.push_back(line);
      }
    }
    return lines;
  }
  int requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  /// Waits until the condition holds; false after ten seconds.
  bool wait(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      std::unique_lock lock(mutex_);
      if (std::chrono::steady_clock::now() > end) return false;
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return true;
  }
  bool wait_for_effects(std::size_t count) {
    return wait([&] { return log().size() >= count; });
  }

 private:
  template <class Serve>
  Outcome serve(mapping::Transaction transaction, Serve perform) {
    const std::lock_guard lock(mutex_);
    const int number = ++requests_;
    if (fault) {
      if (auto outcome = fault(transaction, number)) return *outcome;
    }
    Outcome outcome = perform();
    changed_.notify_all();
    if (lost_answer) {
      if (auto lost = lost_answer(transaction, number)) return *lost;
    }
    return outcome;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, mapping::DataSet> steps_;
  std::vector<std::string> log_;
  int requests_ = 0;
};

}  // namespace queue_test
