// One request of the SCU on an association, and what comes back: written for this peer, sent, its
// responses read. PS3.7; rules F11, F25, F28, G11. Takes no association and repeats nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "dimse/association.h"
#include "dimse/command.h"
#include "dimse/scu.h"
#include "mapping/log.h"
#include "mapping/outcome.h"
#include "mapping/services.h"

namespace dimse {

/// The end of an association as an outcome tells it.
mapping::NetworkEvent event_of(Arrival arrival);

/// One request. One thread; everything given to it outlives it.
class Exchange {
 public:
  Exchange(const ScuOptions& options, const mapping::Log& log, Association& association,
           const PresentationContext& presentation, const mapping::Context& context)
      : options_(options),
        log_(log),
        association_(association),
        presentation_(presentation),
        context_(context) {}

  const Association& association() const { return association_; }

  /// C-FIND: search.identifier by this request, as Scu::search.
  mapping::Outcome search(const Command& request, const mapping::Search& search,
                          const mapping::OnMatch& on_match);
  /// N-CREATE, N-SET, N-GET, C-ECHO: one request, one response. data_set null: none is sent.
  /// found: of an N-GET, replaced where the answer brought something; then, too, a cancellation is
  /// heeded.
  mapping::Outcome ask(mapping::Transaction transaction, const Command& request,
                       const mapping::DataSet* data_set, mapping::DataSet* found);

  /// How the association ended; message: it did not, and serves again.
  Arrival end() const { return end_; }
  bool heard() const { return heard_; }  ///< a response has arrived
  bool left() const { return left_; }    ///< something of the request left
  /// Characters of it that became question marks.
  std::size_t replaced_characters() const { return replaced_; }

 private:
  using Clock = Association::Clock;

  void begin(mapping::Transaction transaction, const Command& request);
  mapping::Result<std::string> encode(const mapping::DataSet& data_set);
  std::optional<mapping::Outcome> send(std::string_view data_set);
  std::optional<mapping::Outcome> receive(Message& response, Clock::time_point deadline,
                                          mapping::Cancellation* cancellation);
  Clock::time_point response_deadline() const;
  mapping::Result<mapping::DataSet> read(const Message& response) const;
  mapping::Outcome drain();
  mapping::Outcome take_found(const Message& response, mapping::Outcome outcome,
                              mapping::DataSet& found) const;
  void take_offending(const Message& response, mapping::Outcome& outcome) const;

  const ScuOptions& options_;
  const mapping::Log& log_;
  Association& association_;
  const PresentationContext& presentation_;
  const mapping::Context& context_;
  mapping::Transaction transaction_ = mapping::Transaction::search;
  Command request_;
  bool heard_ = false;
  bool left_ = false;
  Arrival end_ = Arrival::message;
  std::size_t replaced_ = 0;
};

}  // namespace dimse
