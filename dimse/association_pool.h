// Associations to one SCP: opened on need up to a limit, reused, replaced when found dead, released
// when idle before the peer does it. Callers that must wait are served in order. Knows no
// operation.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dimse/association.h"
#include "dimse/descriptor.h"
#include "dimse/negotiation.h"
#include "dimse/tls.h"
#include "dimse/transport.h"
#include "mapping/outcome.h"
#include "mapping/pool_state.h"
#include "mapping/services.h"

namespace dimse {

struct PoolOptions {
  std::string host;
  std::uint16_t port = 104;
  ProposedAssociation proposed;
  std::size_t max_associations = 8;
  bool reuse = true;
  std::chrono::milliseconds idle_release{30'000};
  std::chrono::milliseconds acse_timeout{5'000};
  Association::Limits limits;
  TlsOptions tls;
};

/// Safe from any thread.
class AssociationPool {
 public:
  using Clock = Transport::Clock;

  /// An association with its connection.
  struct Opened {
    Opened(Descriptor peer, std::unique_ptr<TlsSession> tls, const Association::Limits& limits);
    Descriptor descriptor;
    Transport transport;
    std::optional<Association> association;  ///< after negotiation
    std::vector<std::pair<std::string, mapping::NetworkEvent>> refused;
    bool fuzzy_matching = false;  ///< was proposed
    Clock::time_point idle_since;
  };

  /// Holds an association for one operation. Discarded (aborted, closed) unless given back.
  class Lease {
   public:
    Lease(AssociationPool& pool, std::unique_ptr<Opened> opened, bool reused, bool passing)
        : pool_(&pool), opened_(std::move(opened)), reused_(reused), passing_(passing) {}
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();

    Association& association() { return *opened_->association; }
    /// It served another operation before: the peer may have left since.
    bool reused() const { return reused_; }
    /// Why the peer refused the contexts of this abstract syntax.
    mapping::NetworkEvent refusal(std::string_view abstract_syntax) const;
    /// The operation is over and the association whole.
    void give_back();
    /// The peer broke the protocol: the service provider aborts, not the service user. PS3.8, 9.3.8
    void accuse() { aborts_ = Association::AbortSource::service_provider; }

   private:
    AssociationPool* pool_;
    std::unique_ptr<Opened> opened_;
    const bool reused_;
    const bool passing_;  ///< as Wish
    Association::AbortSource aborts_ = Association::AbortSource::service_user;
  };

  struct Failure {
    mapping::NetworkEvent event = mapping::NetworkEvent::none;
    std::string why;
  };

  explicit AssociationPool(PoolOptions options);
  ~AssociationPool();  ///< releases what is idle; no lease may be out
  AssociationPool(const AssociationPool&) = delete;
  AssociationPool& operator=(const AssociationPool&) = delete;

  struct Wish {
    bool fresh = false;           ///< opened for this caller in any case
    bool fuzzy_matching = false;  ///< proposed; holds for all searches of an association
    /// Only to look whether the peer is there: keeps no association open. A reused one is idle
    /// since when it was before; another is released at once.
    bool passing = false;
  };
  /// Waits its turn, then reuses or opens an association. failure says why there is none: busy
  /// until the deadline, or what became of the attempt.
  std::optional<Lease> acquire(Clock::time_point deadline, mapping::Cancellation* cancellation,
                               Wish wish, Failure& failure);

  mapping::PoolState state() const;
  /// Why the files of TLS cannot be used; empty: they can, or there are none. Constant.
  const std::string& tls_fault() const { return tls_fault_; }

 private:
  /// A caller whose turn has not come. Lives on its stack.
  struct Turn {
    std::condition_variable came;
    bool granted = false;
    std::unique_ptr<Opened> opened;  ///< null: may open one
  };

  bool await_turn(Turn& turn, Clock::time_point deadline, mapping::Cancellation* cancellation);
  std::unique_ptr<Opened> open(Clock::time_point deadline, bool fuzzy_matching, Failure& failure);
  std::unique_ptr<Opened> connect(Clock::time_point deadline, Failure& failure);
  void keep(std::unique_ptr<Opened> opened, bool passing, bool reused);
  void discard(std::unique_ptr<Opened> opened, Association::AbortSource source);
  void free_place();
  void grant_turns();  // with mutex_ held
  void reap();
  std::unique_ptr<Opened> next_to_release(std::unique_lock<std::mutex>& lock);
  void release(std::unique_ptr<Opened> opened);

  const PoolOptions options_;
  /// Null: plain, or a fault in its files.
  std::shared_ptr<const TlsContext> tls_;
  std::string tls_fault_;

  mutable std::mutex mutex_;
  std::condition_variable reaper_wakes_;
  bool reaper_has_nothing_ =
      false;  ///< to release, and so sleeps until it is woken; guarded by mutex_
  std::size_t places_taken_ = 0;                   // guarded by mutex_
  std::deque<std::unique_ptr<Opened>> idle_;       // guarded by mutex_; longest idle in front
  std::deque<std::unique_ptr<Opened>> releasing_;  // guarded by mutex_
  std::list<Turn*> turns_;                         // guarded by mutex_; in order of arrival
  bool closing_ = false;                           // guarded by mutex_
  std::thread reaper_;
};

}  // namespace dimse
