// The two services between fronts and backends. A front calls them, a backend implements them, and
// whatever stands between (routing, merging, queueing, counting) implements one and holds another.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mapping/data_set.h"
#include "mapping/outcome.h"
#include "mapping/uid.h"

namespace mapping {

/// Whether the asker still wants the answer: a C-CANCEL, a closed connection, a stop of the
/// gateway. Used by the thread that runs the transaction.
class Cancellation {
 public:
  virtual ~Cancellation() = default;
  /// Looks without blocking. Once true it stays true. A backend asks before each wait for its peer,
  /// not only now and then: a front uses the moment to send what it has gathered.
  virtual bool requested() = 0;
  /// A descriptor that becomes readable when requested() should be asked again, for poll beside the
  /// peer's socket; -1 if there is none.
  virtual int descriptor() const { return -1; }
};

/// Who asks.
struct Caller {
  enum class Protocol : std::uint8_t { dimse, web };
  Protocol protocol = Protocol::dimse;
  std::string name;     ///< calling AE title, or authenticated user; may be empty on the web
  std::string address;  ///< numeric host address
  /// What it proved who it is with: Bearer on the web, a JSON Web Token as user identity. Never
  /// logged; to be handed on only where the backend says so. Empty = none.
  std::string bearer_token{};
};

/// What goes along with every call. Lives as long as the call.
struct Context {
  Caller caller;
  std::string transaction;  ///< this gateway's id of the transaction, for logs
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  Cancellation* cancellation = nullptr;  ///< not owned; null = cannot be cancelled

  bool cancelled() const { return cancellation != nullptr && cancellation->requested(); }
};

/// A worklist query. PS3.4, Annex K; PS3.18, 14.4.
struct Search {
  /// The C-FIND identifier: keys with a value match, keys without one are return keys; a sequence
  /// key has no item (return it whole) or one.
  DataSet identifier;
  bool fuzzy_matching = false;
  bool empty_value_matching = false;
  bool multiple_value_matching = false;
};

/// One answer to a Search, as the peer sent it: it may hold more than was asked for, and several
/// scheduled steps in one sequence (rules F8, F9: the DIMSE front prunes and splits).
struct Match {
  DataSet data_set;
  bool optional_keys_supported = true;  ///< false: C-FIND status FF01
};

/// Called for each match in order, from the thread that called search. False ends the search: the
/// backend cancels it and returns Outcome success or cancel.
using OnMatch = std::function<bool(Match&&)>;

using AttributeList = std::vector<Tag>;

/// PS3.4, Annex K / PS3.18, chapter 14. Safe from any thread.
class WorklistService {
 public:
  virtual ~WorklistService() = default;
  /// Success (0000) only after the peer said that it sent every match, or on_match returned false.
  /// Blocks at most until context.deadline.
  virtual Outcome search(const Search& search, const OnMatch& on_match, const Context& context) = 0;
};

/// PS3.4, Annex F / PS3.18, chapter 15. Safe from any thread.
/// All block at most until context.deadline. create and update are never cut short by a
/// cancellation: what was begun is finished.
class MppsService {
 public:
  virtual ~MppsService() = default;
  /// N-CREATE / Create.
  virtual Outcome create(const Uid& mpps, const DataSet& attributes, const Context& context) = 0;
  /// N-SET / Update. Sequences replace the stored ones whole (rule F21).
  virtual Outcome update(const Uid& mpps, const DataSet& modifications, const Context& context) = 0;
  /// N-GET / Retrieve. attributes: top-level tags; empty asks for all. found: replaced where the
  /// outcome is good, and may hold more than was asked for; untouched otherwise.
  virtual Outcome retrieve(const Uid& mpps, const AttributeList& attributes, DataSet& found,
                           const Context& context) = 0;
  /// False once it is known that the peer does not offer N-GET, which is optional: capabilities
  /// and negotiation leave it out (rules C9, H3). Whoever asks nevertheless is told so by retrieve.
  virtual bool offers_retrieve() const { return true; }
};

/// Where a caller's transactions go. Null = not offered to this caller.
struct Services {
  WorklistService* worklist = nullptr;
  MppsService* mpps = nullptr;
  /// What both are part of: they live as long as it is held. Null: they outlive the fronts.
  std::shared_ptr<const void> owner{};
};

/// Chosen per caller by the gateway's router; fronts hold it, ask it for every transaction, and
/// hold the answer until that is over. Safe from any thread.
using Router = std::function<Services(const Caller&)>;

}  // namespace mapping
