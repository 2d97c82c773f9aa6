// One thread for each source, and the caller's, which hands matches on. Between them one queue for
// each source, all under one mutex.
#include "gateway/merged_worklist.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "mapping/return_keys.h"
#include "mapping/tags.h"

namespace gateway {
namespace {

namespace status = mapping::dimse_status;
namespace tags = mapping::tags;
using Clock = std::chrono::steady_clock;
using mapping::Context;
using mapping::DataSet;
using mapping::DataSetView;
using mapping::Match;
using mapping::Outcome;

/// A descriptor that is readable while it is up.
class Flag {
 public:
  Flag() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Flag() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

  int descriptor() const { return descriptor_; }  ///< -1: there are no more
  void raise() const { ::eventfd_write(descriptor_, 1); }
  void lower() const {
    eventfd_t count = 0;
    ::eventfd_read(descriptor_, &count);
  }

 private:
  const int descriptor_;
};

/// What the sources see as their caller's wish.
class Stop : public mapping::Cancellation {
 public:
  bool requested() override { return requested_; }
  int descriptor() const override { return flag_.descriptor(); }
  void request() {
    requested_ = true;
    flag_.raise();
  }

 private:
  std::atomic<bool> requested_{false};
  Flag flag_;
};

/// The identifier with the keys that tell one scheduled step from another.
DataSet with_identifying_keys(DataSetView identifier) {
  mapping::DataSetBuilder builder;
  const auto add_where_missing = [&builder](DataSetView keys, mapping::Tag tag, mapping::Vr vr) {
    if (!keys.find(tag)) builder.add(tag, vr, {});
    for (const mapping::Element& key : keys) builder.add(key);
    return builder.build().value();  // it was a data set: nothing can fail
  };
  DataSet keys = add_where_missing(identifier, tags::StudyInstanceUID, mapping::Vr::UI);
  const auto sequence = keys.view().find(tags::ScheduledProcedureStepSequence);
  if (sequence && (sequence->vr != mapping::Vr::SQ || sequence->items().size() != 1 ||
                   (*sequence->items().begin()).empty())) {
    return keys;  // all of it is asked for
  }
  const DataSet item = add_where_missing(sequence ? *sequence->items().begin() : DataSetView(),
                                         tags::ScheduledProcedureStepID, mapping::Vr::SH);
  builder.begin_sequence(tags::ScheduledProcedureStepSequence).add_item(item).end_sequence();
  for (const mapping::Element& key : keys.view()) {
    if (key.tag != tags::ScheduledProcedureStepSequence) builder.add(key);
  }
  return builder.build().value();
}

/// Empty where the step cannot be told from others.
std::string key_of(DataSetView step) {
  const auto item = step.first_item(tags::ScheduledProcedureStepSequence);
  if (!item) return {};
  const std::string_view study = step.text(tags::StudyInstanceUID);
  const std::string_view id = item->text(tags::ScheduledProcedureStepID);
  return study.empty() || id.empty() ? std::string() : fmt::format("{}\\{}", study, id);
}

/// One search of them all. Lives as long as it.
class MergedSearch {
 public:
  MergedSearch(const std::vector<MergedWorklist::Source>& sources, bool partial_allowed,
               const mapping::Search& search, const mapping::OnMatch& on_match,
               const Context& context)
      : partial_allowed_(partial_allowed),
        search_(search),
        on_match_(on_match),
        context_(context),
        sources_(sources.size()) {
    search_.identifier = with_identifying_keys(search.identifier);
    for (std::size_t i = 0; i < sources.size(); ++i) sources_[i].service = sources[i].service;
  }
  ~MergedSearch() { end(); }
  MergedSearch(const MergedSearch&) = delete;
  MergedSearch& operator=(const MergedSearch&) = delete;

  /// Failure, or the outcome of all that did not fail.
  Outcome run();
  /// After run: what a source said; nothing where it was cancelled before it ended.
  std::optional<Outcome> failure_of(std::size_t source) const {
    const Source& one = sources_[source];
    return one.failed ? std::optional(one.outcome) : std::nullopt;
  }

 private:
  struct Source {
    mapping::WorklistService* service = nullptr;
    std::thread thread;
    // Guarded by mutex_ until the threads are joined:
    std::vector<Match> gathered;
    std::size_t bytes = 0;  ///< of gathered
    bool done = false;
    bool failed = false;  ///< by itself, not because it was stopped; or given up at the deadline
    Outcome outcome;
    std::exception_ptr exception;
  };
  /// Why no more is handed on.
  enum class End { none, unwanted, cancelled, failed };

  void start(Source& source);
  void end();
  void ask(Source& source);
  bool gather(Source& source, Match&& match);
  void hand_on_all();
  std::vector<Match> next(Source& source);
  void fail(Source& source, Outcome outcome);
  void wait();
  bool hand_on(std::size_t source, Match&& match);
  bool deliver(Match&& match);
  bool tell(Match&& match);
  Outcome outcome() const;

  const bool partial_allowed_;
  mapping::Search search_;
  const mapping::OnMatch& on_match_;
  const Context& context_;

  std::mutex mutex_;
  std::condition_variable room_;  ///< in a queue, or no more is wanted
  std::vector<Source> sources_;
  std::size_t failures_ = 0;              ///< guarded by mutex_
  const Source* first_failed_ = nullptr;  ///< guarded by mutex_
  Stop stop_;
  Flag news_;  ///< for the caller's thread: matches, or an end

  // Of the caller's thread:
  End end_ = End::none;
  std::unordered_map<std::string, std::size_t> handed_on_;  ///< by whom
  std::optional<Match> held_back_;                          ///< it may turn out to be the last
  bool found_ = false;  ///< something was, or will be, delivered
};

Outcome MergedSearch::run() {
  if (stop_.descriptor() < 0 || news_.descriptor() < 0) {
    return Outcome::local(status::out_of_resources, "No file descriptors are left");
  }
  for (Source& source : sources_) start(source);
  hand_on_all();
  end();
  for (const Source& source : sources_) {
    if (source.exception) std::rethrow_exception(source.exception);
  }
  return outcome();
}

void MergedSearch::start(Source& source) {
  try {
    source.thread = std::thread([this, &source] { ask(source); });
  } catch (const std::system_error&) {
    const std::lock_guard lock(mutex_);
    fail(source, Outcome::local(status::out_of_resources, "No thread is left to ask it"));
  }
}

/// Stops the sources that still run, and waits for them; does nothing where none is left. Of run,
/// and of the destructor where on_match threw.
void MergedSearch::end() {
  {
    const std::lock_guard lock(mutex_);
    stop_.request();
  }
  room_.notify_all();
  for (Source& source : sources_) {
    if (source.thread.joinable()) source.thread.join();
  }
}

// --- On the threads of the sources.

void MergedSearch::ask(Source& source) {
  Context context = context_;
  context.cancellation = &stop_;
  Outcome outcome;
  std::exception_ptr exception;
  try {
    outcome = source.service->search(
        search_, [&](Match&& match) { return gather(source, std::move(match)); }, context);
  } catch (...) {
    exception = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  source.done = true;
  source.exception = exception;
  const bool good = !exception && outcome.good();
  if (!good && !stop_.requested()) {
    fail(source, std::move(outcome));
  } else if (!source.failed) {
    source.outcome = std::move(outcome);
  }
  news_.raise();
}

/// mutex_ is held.
void MergedSearch::fail(Source& source, Outcome outcome) {
  if (std::exchange(source.failed, true)) return;
  source.outcome = std::move(outcome);
  ++failures_;
  if (first_failed_ == nullptr) first_failed_ = &source;
}

bool MergedSearch::gather(Source& source, Match&& match) {
  constexpr std::size_t bytes_ahead = 1u << 20;
  std::unique_lock lock(mutex_);
  const auto unwanted = [&] { return source.failed || stop_.requested(); };
  room_.wait(lock, [&] { return source.bytes < bytes_ahead || unwanted(); });
  if (unwanted()) return false;
  source.bytes += match.data_set.bytes().size() + sizeof match;
  source.gathered.push_back(std::move(match));
  if (source.gathered.size() == 1) news_.raise();
  return true;
}

// --- On the caller's thread.

void MergedSearch::hand_on_all() {
  for (std::size_t i = 0; i < sources_.size() && end_ == End::none; ++i) {
    for (;;) {
      std::vector<Match> matches = next(sources_[i]);
      if (matches.empty()) break;
      for (Match& match : matches) {
        if (!hand_on(i, std::move(match))) {
          end_ = End::unwanted;
          return;
        }
      }
    }
  }
  if (end_ == End::none && held_back_) tell(std::move(*held_back_));
}

/// The matches that have gathered; none at the end of the source, or of everything.
std::vector<Match> MergedSearch::next(Source& source) {
  for (;;) {
    news_.lower();
    if (context_.cancelled()) end_ = End::cancelled;
    {
      const std::lock_guard lock(mutex_);
      if (first_failed_ != nullptr && !partial_allowed_) end_ = End::failed;
      if (end_ != End::none) return {};
      if (!source.gathered.empty()) {
        source.bytes = 0;
        room_.notify_all();
        return std::exchange(source.gathered, {});
      }
      if (source.done || source.failed) return {};
      if (Clock::now() >= context_.deadline) {
        fail(source,
             Outcome::unknown(mapping::Transaction::search, mapping::NetworkEvent::response_timeout,
                              "The worklist did not answer in time"));
        room_.notify_all();
        continue;
      }
    }
    wait();
  }
}

/// For news, for a sign of the cancellation, or for the deadline.
void MergedSearch::wait() {
  constexpr std::chrono::milliseconds now_and_then{50};
  constexpr std::chrono::milliseconds longest{60'000};  // then it is looked at again
  const int beside = context_.cancellation == nullptr ? -1 : context_.cancellation->descriptor();
  std::chrono::milliseconds left = longest;
  if (context_.deadline - Clock::now() < longest) {
    left = std::chrono::ceil<std::chrono::milliseconds>(context_.deadline - Clock::now());
  }
  pollfd looks[] = {{news_.descriptor(), POLLIN, 0}, {beside, POLLIN, 0}};
  // A cancellation without a descriptor is asked now and then; so is one whose descriptor cries
  // wolf.
  bool blind = context_.cancellation != nullptr && beside < 0;
  if (!blind && beside >= 0 && ::poll(&looks[1], 1, 0) > 0) {
    blind = true;
    looks[1].fd = -1;
  }
  if (blind) left = std::min(left, now_and_then);
  ::poll(looks, 2, std::max(0, static_cast<int>(left.count())));
}

bool MergedSearch::hand_on(std::size_t source, Match&& match) {
  for (DataSet& step : mapping::split_scheduled_procedure_steps(match.data_set)) {
    std::string key = key_of(step);
    if (!key.empty()) {
      const auto [known, is_new] = handed_on_.emplace(std::move(key), source);
      if (!is_new && known->second != source) continue;
    }
    if (!deliver({std::move(step), match.optional_keys_supported})) return false;
  }
  return true;
}

bool MergedSearch::deliver(Match&& match) {
  found_ = true;
  if (!partial_allowed_) return on_match_(std::move(match));
  std::optional<Match> before = std::exchange(held_back_, std::move(match));
  return !before || tell(std::move(*before));
}

bool MergedSearch::tell(Match&& match) {
  {
    const std::lock_guard lock(mutex_);
    if (failures_ > 0) match.optional_keys_supported = false;
  }
  return on_match_(std::move(match));
}

/// The threads have ended.
Outcome MergedSearch::outcome() const {
  if (end_ == End::cancelled) return Outcome::local(status::cancel, {});
  const bool in_vain = failures_ > 0 && !found_;
  if (end_ == End::failed || in_vain) return first_failed_->outcome;
  Outcome all;
  all.failed_worklists = failures_;
  for (const Source& source : sources_) {
    if (source.failed || !source.outcome.good()) continue;  // or it was stopped
    const Outcome& one = source.outcome;
    if (all.status == status::success) all.status = one.status;
    all.fuzzy_matching_ignored |= one.fuzzy_matching_ignored;
    all.empty_value_matching_ignored |= one.empty_value_matching_ignored;
    all.multiple_value_matching_ignored |= one.multiple_value_matching_ignored;
    all.dropped_matches += one.dropped_matches;
  }
  return all;
}

}  // namespace

MergedWorklist::MergedWorklist(std::vector<Source> sources, bool partial_allowed, mapping::Log log)
    : sources_(std::move(sources)), partial_allowed_(partial_allowed), log_(std::move(log)) {}

Outcome MergedWorklist::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                               const Context& context) {
  MergedSearch merged(sources_, partial_allowed_, search, on_match, context);
  Outcome outcome = merged.run();
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const auto failure = merged.failure_of(i);
    if (!failure) continue;
    log_(mapping::LogLevel::warn,
         fmt::format("tx={} worklist {} failed with status {:04X}: the search {}",
                     context.transaction, sources_[i].name, failure->status,
                     outcome.good() ? "is answered without it" : "fails"));
  }
  return outcome;
}

}  // namespace gateway
