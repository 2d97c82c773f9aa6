// Places, turns, and the thread that releases.
#include "dimse/association_pool.h"

#include <algorithm>

#include "dimse/connector.h"

namespace dimse {
namespace {

using mapping::NetworkEvent;
using namespace std::chrono_literals;

constexpr auto release_timeout = 2s;  ///< then the connection is closed anyway
constexpr auto slice = 50ms;          ///< between two looks at a cancellation while waiting a turn

}  // namespace

AssociationPool::Opened::Opened(Descriptor peer, std::unique_ptr<TlsSession> tls,
                                const Association::Limits& limits)
    : descriptor(std::move(peer)), transport(descriptor.get(), std::move(tls)) {
  transport.set_write_timeout(limits.write_timeout);
}

AssociationPool::Lease::~Lease() {
  if (opened_) pool_->discard(std::move(opened_), aborts_);
}

void AssociationPool::Lease::give_back() { pool_->keep(std::move(opened_), passing_, reused_); }

NetworkEvent AssociationPool::Lease::refusal(std::string_view abstract_syntax) const {
  for (const auto& [refused, event] : opened_->refused) {
    if (refused == abstract_syntax) return event;
  }
  return NetworkEvent::abstract_syntax_refused;
}

AssociationPool::AssociationPool(PoolOptions options) : options_(std::move(options)) {
  if (options_.tls.on_for_scu()) {
    auto tls = TlsContext::for_scu(options_.tls);
    if (tls) {
      tls_ = std::move(tls).value();
    } else {  // never plain instead
      tls_fault_ = tls.fault().what;
    }
  }
  reaper_ = std::thread([this] { reap(); });
}

AssociationPool::~AssociationPool() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    reaper_wakes_.notify_all();
  }
  reaper_.join();
}

mapping::PoolState AssociationPool::state() const {
  std::lock_guard lock(mutex_);
  return {idle_.size(), places_taken_ - idle_.size(), turns_.size(), options_.max_associations};
}

std::optional<AssociationPool::Lease> AssociationPool::acquire(Clock::time_point deadline,
                                                               mapping::Cancellation* cancellation,
                                                               Wish wish, Failure& failure) {
  Turn turn;
  if (!await_turn(turn, deadline, cancellation)) {
    failure = {NetworkEvent::busy, "all associations are busy"};
    return std::nullopt;
  }
  const bool alive = turn.opened && turn.opened->association->look() == Arrival::nothing;
  const bool suits = alive && !wish.fresh && turn.opened->fuzzy_matching == wish.fuzzy_matching;
  if (suits) return Lease(*this, std::move(turn.opened), true, wish.passing);
  // The peer left, or may have, or agreed to other things: a new one takes its place.
  if (alive) turn.opened->association->abort(Association::AbortSource::service_user);
  turn.opened.reset();
  std::unique_ptr<Opened> opened;
  try {
    opened = open(deadline, wish.fuzzy_matching, failure);
  } catch (const std::exception& error) {  // no memory
    failure = {NetworkEvent::connect_failed, error.what()};
  }
  if (opened) return Lease(*this, std::move(opened), false, wish.passing);
  free_place();
  return std::nullopt;
}

bool AssociationPool::await_turn(Turn& turn, Clock::time_point deadline,
                                 mapping::Cancellation* cancellation) {
  std::unique_lock lock(mutex_);
  turns_.push_back(&turn);
  grant_turns();
  while (!turn.granted) {
    auto until = cancellation == nullptr ? deadline : std::min(deadline, Clock::now() + slice);
    turn.came.wait_until(lock, until);
    if (turn.granted) break;
    if (Clock::now() >= deadline || (cancellation != nullptr && cancellation->requested())) {
      turns_.remove(&turn);
      return false;
    }
  }
  return true;
}

void AssociationPool::grant_turns() {
  while (!turns_.empty()) {
    auto& turn = *turns_.front();
    if (!idle_.empty()) {
      turn.opened = std::move(idle_.back());
      idle_.pop_back();
    } else if (places_taken_ < options_.max_associations) {
      ++places_taken_;
    } else {
      return;
    }
    turn.granted = true;
    turn.came.notify_one();
    turns_.pop_front();
  }
}

std::unique_ptr<AssociationPool::Opened> AssociationPool::connect(Clock::time_point deadline,
                                                                  Failure& failure) {
  failure = {NetworkEvent::tls_failed, tls_fault_};
  if (!tls_fault_.empty()) return nullptr;
  failure.event = NetworkEvent::connect_failed;
  const auto until = std::min(deadline, Clock::now() + options_.acse_timeout);
  auto peer = connect_to(options_.host, options_.port, until, failure.why);
  if (!peer) return nullptr;
  auto tls = tls_ ? tls_->connect(peer.get(), options_.host) : nullptr;
  if (tls && !tls->shake_hands(until)) {
    failure = {NetworkEvent::tls_failed, tls->failure()};
    return nullptr;
  }
  return std::make_unique<Opened>(std::move(peer), std::move(tls), options_.limits);
}

std::unique_ptr<AssociationPool::Opened> AssociationPool::open(Clock::time_point deadline,
                                                               bool fuzzy_matching,
                                                               Failure& failure) {
  auto opened = connect(deadline, failure);
  if (!opened) return nullptr;
  const auto until = std::min(deadline, Clock::now() + options_.acse_timeout);
  auto proposed = options_.proposed;
  opened->fuzzy_matching = proposed.fuzzy_matching = fuzzy_matching;
  auto answer = request_association(opened->transport, proposed, until);
  if (answer.event != NetworkEvent::none) {
    failure = {answer.event, answer.why};
    // With TLS 1.3 the SCP refuses our certificate only after the handshake.
    const auto refused = opened->transport.tls_failure();
    if (!refused.empty()) failure = {NetworkEvent::tls_failed, refused};
    return nullptr;
  }
  failure = {};
  opened->refused = std::move(answer.refused);
  opened->association.emplace(opened->transport, std::move(answer.negotiated), options_.limits);
  return opened;
}

void AssociationPool::keep(std::unique_ptr<Opened> opened, bool passing, bool reused) {
  std::lock_guard lock(mutex_);
  if (!passing) opened->idle_since = Clock::now();
  const bool kept = options_.reuse && (!passing || reused);
  if (kept) {
    idle_.push_back(std::move(opened));
    grant_turns();
  } else {
    releasing_.push_back(std::move(opened));
  }
  // Otherwise it wakes by itself, before this one is due: no thread is woken for each request.
  if (!kept || reaper_has_nothing_) reaper_wakes_.notify_one();
}

void AssociationPool::discard(std::unique_ptr<Opened> opened, Association::AbortSource source) {
  opened->association->abort(source);
  opened.reset();
  free_place();
}

void AssociationPool::free_place() {
  std::lock_guard lock(mutex_);
  --places_taken_;
  grant_turns();
}

/// Waits until there is one, or null when the pool closes and nothing is left.
std::unique_ptr<AssociationPool::Opened> AssociationPool::next_to_release(
    std::unique_lock<std::mutex>& lock) {
  for (;;) {
    auto take_first = [](auto& from) {
      auto opened = std::move(from.front());
      from.pop_front();
      return opened;
    };
    if (!releasing_.empty()) return take_first(releasing_);
    if (closing_ && idle_.empty()) return nullptr;
    if (idle_.empty()) {
      reaper_has_nothing_ = true;
      reaper_wakes_.wait(lock);
      reaper_has_nothing_ = false;
      continue;
    }
    const auto due = idle_.front()->idle_since + options_.idle_release;
    if (closing_ || Clock::now() >= due) return take_first(idle_);
    reaper_wakes_.wait_until(lock, due);
  }
}

void AssociationPool::reap() {
  std::unique_lock lock(mutex_);
  while (auto opened = next_to_release(lock)) {
    lock.unlock();
    release(std::move(opened));
    lock.lock();
  }
}

void AssociationPool::release(std::unique_ptr<Opened> opened) {
  const auto deadline =
      Clock::now() + std::min<Clock::duration>(release_timeout, options_.acse_timeout);
  if (opened->association->look() == Arrival::nothing) opened->association->release(deadline);
  opened.reset();
  free_place();
}

}  // namespace dimse
