// The DIMSE backend: the two services answered by a legacy SCP, this gateway being its SCU. C-FIND,
// N-CREATE, N-SET, N-GET on associations of a pool. PS3.4, Annexes F and K; PS3.7; mapping.md, 5a.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dimse/tls.h"
#include "mapping/character_set.h"
#include "mapping/log.h"
#include "mapping/pool_state.h"
#include "mapping/services.h"

namespace dimse {

struct ScuOptions {
  std::string ae_title;  ///< called
  std::string host;
  std::uint16_t port = 104;
  std::string calling_ae_title = "MODGATE";
  std::size_t max_associations = 8;
  bool reuse_associations = true;
  std::chrono::milliseconds idle_release{30'000};
  /// To send. None: the smallest that holds the text; for an MPPS, ISO_IR 192 (rule F25).
  std::optional<mapping::CharacterSet> character_set;
  /// Question marks for what character_set does not hold, logged with their number, instead of
  /// refusing the operation (rule G11).
  bool replace_unencodable = false;
  std::optional<mapping::CharacterSet> assume_character_set;  ///< of answers that declare none
  std::chrono::milliseconds acse_timeout{5'000};    ///< to connect, and again for A-ASSOCIATE-AC
  std::chrono::milliseconds dimse_timeout{30'000};  ///< for each response, and to send
  std::uint32_t max_pdu_bytes = 131072;             ///< 4096 to 131072
  /// User identity, sent with each association request: a JSON Web Token, or a name with or
  /// without a passcode.
  std::string bearer_token{}, username{}, passcode{};
  TlsOptions tls;                              ///< with CAs the SCP is spoken to by TLS
  std::size_t max_data_set_bytes = 16u << 20;  ///< of one response
  bool operator==(const ScuOptions&) const = default;
};

/// Safe from any thread; a call holds one association as long as it lasts.
/// Outcomes: unreachable if no association could be had (repeating is safe); unknown if the request
/// was sent and no usable answer came; answered otherwise, with the SCP's status and its fields.
/// Where the SCP offers N-GET, an N-CREATE or N-SET without an answer is settled (settlement.h).
class Scu : public mapping::WorklistService, public mapping::MppsService {
 public:
  Scu(ScuOptions options, mapping::Log log);
  ~Scu() override;  ///< no call may be under way; releases what is idle
  Scu(const Scu&) = delete;
  Scu& operator=(const Scu&) = delete;

  /// C-FIND on the Modality Worklist. A match that cannot be read is left out and counted in
  /// dropped_matches. on_match false, or a cancellation, sends one C-CANCEL and reads on to the
  /// final response, so that the association can be used again.
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  /// N-GET on the MPPS Retrieve class. 0001, 0107, 0116 and 0106 with a data set fill found too
  /// (rule F28).
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;
  /// As the last association had it; true before the first.
  bool offers_retrieve() const override;

  /// Why none of this can be done at all: a TLS file that could not be used when this was made.
  /// Empty: it can.
  const std::string& fault() const;

  /// C-ECHO. PS3.7, 9.1.5.
  mapping::Outcome echo(const mapping::Context& context);
  /// What an SCP has said to an association request and a C-ECHO.
  struct Presence {
    /// answered: there is an SCP, with or without Verification; else error_comment says why not.
    mapping::Outcome outcome;
    /// Which abstract syntaxes it accepted; none where there is no association.
    bool verification = false, worklist = false, mpps = false, mpps_retrieve = false;
  };
  /// Asks whether there is an SCP, and for what. Logs nothing and keeps no association open.
  Presence probe(const mapping::Context& context);

  /// Of its associations.
  mapping::PoolState pool() const;
  /// Characters that became question marks, since the start (replace_unencodable).
  std::uint64_t replaced_characters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dimse
