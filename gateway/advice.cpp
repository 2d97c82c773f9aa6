// Two tables.
#include "gateway/advice.h"

#include <algorithm>
#include <iterator>

namespace gateway {
namespace {

using mapping::NetworkEvent;
namespace status = mapping::dimse_status;

constexpr std::string_view see_its_log = "Look at its log at this time: the refusal is its own.";
constexpr std::string_view offer_it =
    "Switch this service on there, correct base_uri, or name another backend for it.";
constexpr std::string_view whoever_sent =
    "Look at who sent it: what was sent is not what the backend takes.";

struct Row {
  std::uint16_t first, last;
  std::string_view words, advice;
};
constexpr Row rows[] = {
    {status::success, status::success, "success", see_its_log},
    {status::no_such_attribute, status::no_such_attribute, "no such attribute", whoever_sent},
    {status::invalid_attribute_value, status::invalid_attribute_value, "invalid attribute value",
     whoever_sent},
    {status::processing_failure, status::processing_failure, "processing failure", see_its_log},
    {status::duplicate_sop_instance, status::duplicate_sop_instance, "this step exists already",
     "Often a repeat of what was done before: nothing to do."},
    {status::no_such_sop_instance, status::no_such_sop_instance, "this step is not known there",
     "Its N-CREATE never came, or went to another backend."},
    {status::attribute_value_out_of_range, status::attribute_value_out_of_range,
     "attribute value out of range", whoever_sent},
    {status::invalid_sop_instance, status::invalid_sop_instance, "invalid SOP Instance UID",
     whoever_sent},
    {status::no_such_sop_class, status::no_such_sop_class, "service not offered", offer_it},
    {status::missing_attribute, status::missing_attribute_value, "a required attribute is missing",
     whoever_sent},
    {status::sop_class_not_supported, status::sop_class_not_supported, "service not offered",
     offer_it},
    {status::not_authorized, status::not_authorized, "not allowed",
     "Correct the credentials in its [backend ...] section, or allow this user there."},
    {status::duplicate_invocation, status::mistyped_argument, "the message is not accepted",
     see_its_log},
    {status::resource_limitation, status::resource_limitation, "not enough resources, or not there",
     "Is it up, and does this gateway's disk have room? It is tried again where it is queued."},
    {status::out_of_resources, 0xA7FF, "out of resources, or not there",
     "Is it up? Does the search ask for too much?"},
    {status::data_set_does_not_match_sop_class, 0xA9FF, "the identifier does not fit",
     whoever_sent},
    {status::upstream_client_error, status::upstream_client_error,
     "the origin server did not take the request", whoever_sent},
    {status::upstream_server_error, status::upstream_server_error, "the origin server failed",
     see_its_log},
    {status::upstream_answer_unreadable, status::upstream_answer_unreadable,
     "the answer could not be read",
     "The log of this gateway says what is wrong with it; often a character set."},
    {status::character_set_not_supported, status::character_set_not_supported,
     "text does not fit the character set",
     "Set character_set of the modality or backend to one that holds it, such as ISO_IR 192."},
    {status::aborted_after_partial_results, status::aborted_after_partial_results,
     "broken off after some matches", see_its_log},
    {status::upstream_refused_authorization, status::upstream_refused_authorization,
     "the origin server refused our credentials",
     "Correct the credentials in its [backend ...] section, or allow this user there."},
    {status::redirect_denied, status::redirect_denied, "redirected to a server that is not allowed",
     "Correct base_uri, or add the server to redirect_origins."},
    {0xC000, 0xCFFF, "unable to process", see_its_log},
    {status::cancel, status::cancel, "cancelled", "Whoever asked has ended it."},
    {0x0000, 0xFFFF, "", see_its_log},
};

const Row& row_for(std::uint16_t word) {
  for (const Row& row : rows) {
    if (word >= row.first && word <= row.last) return row;
  }
  return rows[0];  // never: the last row fits every word
}

}  // namespace

std::string_view advice_for(NetworkEvent event) {
  switch (event) {
    case NetworkEvent::none:
      return {};
    case NetworkEvent::connect_failed:
      return "Is the program started there, and the machine on? Are host and port right? Is a "
             "firewall in the way?";
    case NetworkEvent::tls_failed:
      return "Look at tls_trusted here, and at the certificate there: is it out of date?";
    case NetworkEvent::rejected_transient:
      return "It is busy, or allows too few associations. Try again; restart it if that goes on.";
    case NetworkEvent::rejected_permanent:
      return "Correct ae_title, or make calling_ae_title and this machine's address known there.";
    case NetworkEvent::user_identity_refused:
      return "Correct username, password_file or bearer_token_file; make the user known there.";
    case NetworkEvent::abstract_syntax_refused:
    case NetworkEvent::transfer_syntax_refused:
      return "Switch this service on there for our AE title, or name another backend for it.";
    case NetworkEvent::acse_timeout:
      return "It takes connections and says nothing: is it stuck? Does the port speak DICOM, or "
             "TLS?";
    case NetworkEvent::busy:
      return "All associations or connections that we may have are in use: is it slow? Raise "
             "max_associations or max_connections.";
    case NetworkEvent::response_timeout:
      return "It is slow or stuck: look at it; raise dimse_timeout_seconds or "
             "response_timeout_seconds if it needs that long.";
    case NetworkEvent::connection_lost:
      return "It ended the connection, or something in between did: look at its log at this time.";
    case NetworkEvent::protocol_error:
      return "What it sends is no DICOM or HTTP as we know it: is it the right port? TLS?";
    case NetworkEvent::unreadable_answer:
      return "The log of this gateway says what is wrong with its answer; often a character set.";
    case NetworkEvent::shutting_down:
      return "This gateway was stopping.";
  }
  return {};
}

std::string_view words_for(std::uint16_t dimse_status) { return row_for(dimse_status).words; }

std::string_view advice_for(std::uint16_t dimse_status) { return row_for(dimse_status).advice; }

bool stays(NetworkEvent event, std::uint16_t dimse_status) {
  static constexpr std::uint16_t refusals[] = {
      status::no_such_sop_class, status::sop_class_not_supported, status::not_authorized,
      status::upstream_refused_authorization, status::redirect_denied};
  return event == NetworkEvent::abstract_syntax_refused ||
         event == NetworkEvent::transfer_syntax_refused ||
         std::find(std::begin(refusals), std::end(refusals), dimse_status) != std::end(refusals);
}

}  // namespace gateway
