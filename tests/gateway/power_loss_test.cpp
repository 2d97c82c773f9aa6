// The promises of the files in state_dir, when the machine stops: what SQLite and we write and sync
// is recorded beside what was promised until then, and each moment is looked at from the next
// start.
#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <set>

#include "gateway/sqlite_mpps_queue.h"
#include "gateway/step_database.h"
#include "tests/gateway/queue_support.h"
#include "tests/gateway/recorded_disk.h"

using namespace gateway;
using namespace queue_test;
using namespace power_loss_test;
using Role = SqliteMppsQueue::Role;

namespace {

// --- What a queue has promised until some moment. Messages are known by a serial number.

/// Of one MPPS and one receiver.
using Chain = std::pair<std::string, std::string>;
using Serials = std::vector<int>;

struct Promises {
  std::set<int> kept;               ///< accepted, and not undone
  std::map<Chain, Serials> open;    ///< have to be handed out
  std::map<Chain, int> handed_out;  ///< the last: none before it may be handed out any more
  std::set<std::pair<Chain, int>> may_be_there;  ///< were handed out, and not refused
  std::set<std::pair<Chain, int>> gone;          ///< discarded, or never happened
};

int serial_of(const MppsMessage& message) { return std::stoi(message.caller); }
Chain chain_of(const Delivery& delivery) {
  return {delivery.message.mpps.text(), delivery.receiver};
}

/// Modalities, two receivers and a person, one after the other.
class Life {
 public:
  explicit Life(const std::filesystem::path& directory) : directory_(directory), disk_(directory) {}

  void live(int actions) {
    start();
    for (int i = 0; i < actions; ++i) act();
    queue_.reset();
    note();
  }
  const RecordedDisk& disk() const { return disk_; }
  /// What was promised before.
  const Promises& at(std::size_t moment) const {
    return std::prev(promised_.upper_bound(moment))->second;
  }

 private:
  void note() { promised_[disk_.now()] = now_; }
  void start() {
    auto queue = SqliteMppsQueue::open(directory_, Role::gateway);
    if (!queue) FAIL(queue.fault().what);
    queue_ = std::move(queue).value();
    on_their_way_.clear();
    note();
  }
  void act() {
    const std::size_t chosen = below(random_, 100);
    if (chosen < 45) {
      accept(static_cast<int>(below(random_, 4)));
    } else if (chosen < 85) {
      exchange(receivers_[below(random_, 2)]);
    } else if (chosen < 90) {
      discard();
    } else if (chosen < 98) {
      checkpoint();
    } else {  // a stop and a start
      queue_.reset();
      start();
    }
    note();
  }

  void accept(int step) {
    MppsMessage message = created_.insert(step).second
                              ? create_message(step)
                              : update_message(step, described(std::to_string(serial_)));
    const int serial = serial_++;
    message.caller = std::to_string(serial);
    const bool undecided = below(random_, 4) == 0;
    const auto accepted = queue_->accept(message, [&](const RecordedStep*) {
      return Acceptance{.destinations = {{receivers_[0]}, {receivers_[1]}}, .undecided = undecided};
    });
    now_.kept.insert(serial);
    note();
    bool happened_after_all = true;
    if (undecided) {
      const bool happened = below(random_, 2) == 0;
      if (!happened) now_.kept.erase(serial);  // from now on it may be gone
      note();
      queue_->decide(accepted.id, happened);
      happened_after_all = happened;
    }
    for (const auto& receiver : receivers_) {
      const Chain chain{message.mpps.text(), receiver};
      if (happened_after_all) {
        now_.open[chain].push_back(serial);
      } else {
        now_.gone.insert({chain, serial});
      }
    }
  }

  void exchange(const std::string& receiver) {
    std::vector<Ended> ended;
    auto& on_their_way = on_their_way_[receiver];
    while (!on_their_way.empty() && below(random_, 3) != 0) {
      const std::size_t how = below(random_, 10);
      Attempt attempt{.result = how == 0   ? Attempt::Result::held
                                : how == 1 ? Attempt::Result::retry
                                           : Attempt::Result::delivered,
                      .due = time_,
                      .reason = "refused"};
      ended.push_back({std::move(on_their_way.back()), std::move(attempt)});
      on_their_way.pop_back();
      const auto& [delivery, result] = ended.back();
      const Chain chain = chain_of(delivery);
      if (result.result == Attempt::Result::delivered) {
        std::erase(now_.open[chain], serial_of(delivery.message));
      } else {
        now_.may_be_there.erase({chain, serial_of(delivery.message)});
      }
    }
    note();  // receivers have them, whatever becomes of this
    auto taken = queue_->finish(receiver, ended, time_ += std::chrono::seconds(1), 3);
    for (Delivery& delivery : taken.deliveries) {
      now_.handed_out[chain_of(delivery)] = serial_of(delivery.message);
      now_.may_be_there.insert({chain_of(delivery), serial_of(delivery.message)});
      on_their_way.push_back(std::move(delivery));
    }
  }

  void discard() {
    const auto entries = queue_->list({});
    if (entries.empty()) return;
    const QueueEntry& entry = entries[below(random_, entries.size())];
    const Chain chain{entry.mpps, entry.receiver};
    auto& open = now_.open[chain];
    const Serials before = open;
    std::erase(open, std::stoi(entry.caller));  // from now on it may be gone
    note();
    if (queue_->discard(entry.id, entry.receiver)) {
      now_.gone.insert({chain, std::stoi(entry.caller)});
    } else {
      open = before;
    }
  }

  /// What SQLite does by itself after some megabytes.
  void checkpoint() {
    constexpr std::array ways{"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
    SQLite::Database other((directory_ / "mpps-queue.sqlite").string(), SQLite::OPEN_READWRITE);
    other.exec("PRAGMA synchronous=NORMAL");
    SQLite::Statement(other, std::string("PRAGMA wal_checkpoint(") + ways[below(random_, 4)] + ")")
        .executeStep();
  }

  const std::filesystem::path directory_;
  const std::vector<std::string> receivers_{"pacs", "ris"};
  RecordedDisk disk_;
  std::unique_ptr<SqliteMppsQueue> queue_;
  Random random_{1};
  QueueTime time_ = queue_now();
  int serial_ = 1;
  std::set<int> created_;
  std::map<std::string, std::vector<Delivery>> on_their_way_;  ///< by receiver
  Promises now_;
  std::map<std::size_t, Promises> promised_{{0, {}}};
};

/// All that there is, as a gateway starts, in the order in which each chain is handed out.
std::map<Chain, std::vector<Delivery>> drain(MppsQueue& queue) {
  std::map<Chain, std::vector<Delivery>> all;
  for (const auto& entry : queue.list({.state = DeliveryState::held})) {
    queue.retry(entry.id, entry.receiver);
  }
  for (const std::string receiver : {"pacs", "ris"}) {
    auto taken = queue.finish(receiver, {}, QueueTime::max(), 100);
    while (!taken.deliveries.empty()) {
      std::vector<Ended> ended;
      for (Delivery& delivery : taken.deliveries) {
        all[chain_of(delivery)].push_back(delivery);
        ended.push_back({std::move(delivery), {.result = Attempt::Result::delivered}});
      }
      taken = queue.finish(receiver, ended, QueueTime::max(), 100);
    }
  }
  return all;
}

/// What is wrong with a queue after this moment, or nothing.
std::string broken(const Promises& promised, MppsQueue& queue) {
  std::set<int> kept;
  for (const auto state : {std::optional<DeliveryState>(), std::optional(DeliveryState::delivered),
                           std::optional(DeliveryState::discarded)}) {
    for (const auto& entry : queue.list({.state = state})) kept.insert(std::stoi(entry.caller));
  }
  if (!std::includes(kept.begin(), kept.end(), promised.kept.begin(), promised.kept.end())) {
    return "a message that was accepted is lost";
  }
  auto left = drain(queue);
  for (const auto& [chain, open] : promised.open) {
    const auto& deliveries = left[chain];
    Serials serials;
    for (const Delivery& delivery : deliveries) serials.push_back(serial_of(delivery.message));
    for (const int serial : serials) {
      if (promised.gone.contains({chain, serial})) return "what was discarded is handed out";
    }
    if (!std::is_sorted(serials.begin(), serials.end())) return "out of order";
    if (!std::includes(serials.begin(), serials.end(), open.begin(), open.end())) {
      return "a message is not handed out any more";
    }
  }
  for (const auto& [chain, last] : promised.handed_out) {
    for (const Delivery& delivery : left[chain]) {
      const int serial = serial_of(delivery.message);
      if (serial < last) return "an earlier message is handed out after a later one";
      if (promised.may_be_there.contains({chain, serial}) && !delivery.maybe_sent) {
        return "a message is handed out twice as if it never had been";
      }
    }
  }
  return {};
}

}  // namespace

TEST_CASE("the queue keeps its promises when the machine stops at any moment") {
  const Directory directory;
  Life life(directory.path());
  life.live(120);
  const std::size_t moments = life.disk().now();
  Random random(2);
  for (std::size_t moment = 0; moment <= moments; moment += 1 + below(random, 6)) {
    const Directory after;
    life.disk().restore(moment, random, after.path());
    const auto queue = SqliteMppsQueue::open(after.path(), Role::gateway);
    INFO("after " << moment << " of " << moments << " events");
    if (!queue) FAIL(queue.fault().what);
    CHECK(broken(life.at(moment), *queue.value()) == "");
  }
}

TEST_CASE("the store keeps what it said was kept when the machine stops at any moment") {
  const Directory directory;
  RecordedDisk disk(directory.path());
  std::map<std::size_t, int> changed{{0, 0}};  ///< how many steps were, by moment
  {
    auto store = StepDatabase::open(directory.path());
    REQUIRE(store);
    for (int i = 1; i <= 40; ++i) {
      store.value()->change(uid(i), [i](const mapping::DataSet*) { return created(i); });
      changed[disk.now()] = i;
    }
  }
  Random random(3);
  for (std::size_t moment = 0; moment <= disk.now(); moment += 1 + below(random, 4)) {
    const Directory after;
    disk.restore(moment, random, after.path());
    const auto store = StepDatabase::open(after.path());
    INFO("after " << moment << " of " << disk.now() << " events");
    if (!store) FAIL(store.fault().what);
    for (int i = 1; i <= std::prev(changed.upper_bound(moment))->second; ++i) {
      CHECK(store.value()->find(uid(i)) == created(i));
    }
  }
}
