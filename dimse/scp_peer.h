// A modality on its association, as the answering functions of the front see it. Internal to the
// front: scp.cpp makes one for each association.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dimse/association.h"
#include "dimse/scp.h"
#include "mapping/wire.h"

namespace dimse {

struct ScpPeer {
  Association& association;
  mapping::Caller caller;
  const mapping::Log& log;
  /// As they stood when the request that is answered had arrived.
  std::shared_ptr<const ScpOptions> options;
  std::atomic<std::uint64_t>& replaced_characters;  ///< of all peers
  const Modality* modality = nullptr;               ///< of options; null: no section of its own
  mapping::Services services{};
  /// The last set that the modality used, for answers where none is configured. rule G10
  std::optional<mapping::CharacterSet> used_by_peer{};

  /// Characters that became question marks in the responses of the transaction that runs.
  mutable std::size_t replaced = 0;

  /// Reads the request's data set and remembers its character set.
  mapping::Result<mapping::DataSet> read(const Message& request);
  mapping::WireWriteOptions write_options() const;
  /// A C-FIND came with the Message ID of a request that was not answered yet: to be aborted, since
  /// C-FIND has no status for it. mapping.md, 5b
  bool repeated_search = false;

  /// Appends the final response, and behind it 0210 to every request that reused its Message ID
  /// meanwhile. False: the connection is broken.
  bool respond(const Message& request, Command response, std::string_view data_set = {});
};

/// "CTSCANNER@10.0.0.7", printable whatever the peer sent; the address alone before it said a name.
std::string to_string(const mapping::Caller& caller);

/// Whether the modality still wants the answer: no C-CANCEL came, and the association stands.
class PeerCancellation : public mapping::Cancellation {
 public:
  PeerCancellation(Association& association, std::uint16_t message_id)
      : association_(association), message_id_(message_id) {}
  bool requested() override;
  int descriptor() const override { return association_.descriptor(); }

  bool cancelled() const { return cancelled_; }  ///< by C-CANCEL
  bool gone() const { return gone_; }            ///< released, aborted or closed

 private:
  Association& association_;
  const std::uint16_t message_id_;
  bool cancelled_ = false, gone_ = false;
};

/// One transaction: its Context, and its line in the log where its answer is not a service's: the
/// gateway logs those.
class ScpTransaction {
 public:
  ScpTransaction(const ScpPeer& peer, std::string_view operation,
                 mapping::Cancellation* cancellation);
  /// Logs how many characters its responses lost, where the modality's rules allow that.
  ~ScpTransaction();
  ScpTransaction(const ScpTransaction&) = delete;
  ScpTransaction& operator=(const ScpTransaction&) = delete;
  const mapping::Context& context() const { return context_; }
  void log(std::uint16_t status) const;
  /// Runs the service; what it throws becomes a failure of this status.
  template <class Call>
  mapping::Outcome run(std::uint16_t failure, Call&& call) try {
    auto outcome = call();
    of_service_ = outcome.status;
    return outcome;
  } catch (const std::exception& error) {
    return failed(failure, error.what());
  } catch (...) {
    return failed(failure, "unknown exception");
  }

 private:
  mapping::Outcome failed(std::uint16_t status, std::string_view what);

  const ScpPeer& peer_;
  const std::string_view operation_;
  mapping::Context context_;
  const Transport::Clock::time_point begun_;
  std::optional<std::uint16_t> of_service_{};  ///< the status that the service came to
};

}  // namespace dimse
