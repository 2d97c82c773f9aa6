// Fills the tables of documents from the tables of the code, so that neither says what the other
// does not: document_tables [--check] FILE…
// A table stands between "<!-- table: NAME -->" and "<!-- end of table -->". In tables of keys the
// last column, what a key is for, is written by hand and kept. --check writes nothing, names what
// differs or has no words yet, and exits 1 if there is any.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "gateway/delivery_policy.h"
#include "mapping/attribute_tables.h"
#include "mapping/status.h"

namespace {

using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;

using Row = std::vector<std::string>;

std::string escaped(std::string_view text) {
  std::string cell;
  for (const char c : text) cell += c == '|' ? std::string("\\|") : std::string(1, c);
  return cell;
}

std::string to_line(const Row& row) {
  std::string line = "|";
  for (const std::string& cell : row) line += fmt::format(" {} |", escaped(cell));
  return line + '\n';
}

class Table {
 public:
  explicit Table(Row heading) : text_(to_line(heading) + to_line(Row(heading.size(), "---"))) {}
  void add(const Row& row) { text_ += to_line(row); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string code(std::string_view text) {
  return text.empty() ? std::string() : fmt::format("`{}`", text);
}

std::string words(std::uint16_t first, std::uint16_t last) {
  if (first == 0x0000 && last == 0xFFFF) return "any other";
  return first == last ? fmt::format("{:04X}", first) : fmt::format("{:04X}–{:04X}", first, last);
}

std::string http_words(int first, int last) {
  if (first == 0 && last == 999) return "any other";
  return first == last ? fmt::format("{}", first) : fmt::format("{}–{}", first, last);
}

std::string http_text(int status) {
  return fmt::format("{} {}", status, mapping::reason_phrase(status));
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

/// Appends where it is not there yet: rows that say the same are told once.
void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

struct Named {
  std::string_view name;
  Transaction transaction;
};
constexpr Named transactions[] = {{"search", Transaction::search},
                                  {"create", Transaction::create},
                                  {"update", Transaction::update},
                                  {"retrieve", Transaction::retrieve}};

// ---- Both directions, row by row ----------------------------------------------------------------

std::string condition_of(const mapping::DimseToHttpRow& row) {
  return words(row.first, row.last) +
         (row.condition.empty() ? std::string() : fmt::format(", {}", row.condition));
}

std::string answer_of(const mapping::DimseToHttpRow& row) {
  std::string answer = http_text(row.http);
  if (row.retry_after) answer += ", Retry-After";
  if (!row.warning.empty()) answer += fmt::format(", Warning 299 \"{}\"", row.warning);
  return answer;
}

std::string dimse_to_http(Transaction transaction) {
  Table table({"DIMSE status", "HTTP answer", "why"});
  for (const auto& row : mapping::dimse_to_http_rows()) {
    if (row.transaction != transaction) continue;
    table.add({condition_of(row), answer_of(row), std::string(row.why)});
  }
  return table.text();
}

std::string http_to_dimse(Transaction transaction) {
  Table table({"HTTP status", "DIMSE status", "why"});
  for (const auto& row : mapping::http_to_dimse_rows()) {
    if (row.transaction != transaction) continue;
    table.add(
        {http_words(row.first, row.last), fmt::format("{:04X}", row.dimse), std::string(row.why)});
  }
  return table.text();
}

struct NamedEvent {
  NetworkEvent event;
  std::string_view what;
};
constexpr NamedEvent events[] = {
    {NetworkEvent::connect_failed, "no connection: refused, no route, no such name, no answer"},
    {NetworkEvent::tls_failed, "TLS handshake or certificate refused"},
    {NetworkEvent::rejected_transient, "A-ASSOCIATE-RJ, transient"},
    {NetworkEvent::rejected_permanent, "A-ASSOCIATE-RJ, permanent"},
    {NetworkEvent::user_identity_refused, "A-ASSOCIATE-RJ because of the user identity"},
    {NetworkEvent::abstract_syntax_refused, "presentation context refused: abstract syntax"},
    {NetworkEvent::transfer_syntax_refused, "presentation context refused: transfer syntaxes"},
    {NetworkEvent::acse_timeout, "no A-ASSOCIATE-AC in time"},
    {NetworkEvent::busy, "no association or connection of ours is free in time"},
    {NetworkEvent::response_timeout, "no whole response in time"},
    {NetworkEvent::connection_lost, "A-ABORT, release or close before the final response"},
    {NetworkEvent::protocol_error, "invalid PDU, wrong Message ID, broken HTTP"},
    {NetworkEvent::unreadable_answer, "the answer's data set or body cannot be decoded"},
    {NetworkEvent::shutting_down, "modgate is stopping"},
    {NetworkEvent::none, "any other"},
};

std::string name_of(NetworkEvent event) {
  for (const NamedEvent& named : events) {
    if (named.event == event) return std::string(named.what);
  }
  return "?";
}

std::string network_events() {
  Table table({"event toward the backend", "HTTP answer", "with `gateway_status_codes`",
               "Retry-After", "why"});
  for (const auto& row : mapping::network_event_rows()) {
    table.add({name_of(row.event), http_text(row.http), http_text(row.gateway_http),
               row.retry_after ? "yes" : "no", std::string(row.why)});
  }
  return table.text();
}

std::string network_to_dimse() {
  Table table({"event toward the backend", "C-FIND", "N-CREATE, N-SET", "N-GET"});
  const auto told = [](Transaction transaction, NetworkEvent event) {
    const auto nothing_sent = Outcome::unreachable(transaction, event, "").status;
    const auto sent = Outcome::unknown(transaction, event, "").status;
    if (event <= NetworkEvent::busy && event != NetworkEvent::none) {
      return fmt::format("{:04X}", nothing_sent);
    }
    if (event <= NetworkEvent::unreadable_answer && event != NetworkEvent::none) {
      return fmt::format("{:04X}", sent);
    }
    return fmt::format("{:04X}; {:04X} if the request was sent", nothing_sent, sent);
  };
  for (const NamedEvent& named : events) {
    table.add({std::string(named.what), told(Transaction::search, named.event),
               told(Transaction::create, named.event), told(Transaction::retrieve, named.event)});
  }
  return table.text();
}

std::string delivery_rules() {
  Table table({"what came of the attempt", "what becomes of the message", "why"});
  for (const auto& rule : gateway::delivery_rules()) {
    const bool by_event = rule.event != NetworkEvent::none;
    table.add({by_event ? name_of(rule.event) : "status " + words(rule.first, rule.last),
               std::string(to_string(rule.verdict)), std::string(rule.why)});
  }
  return table.text();
}

// ---- The same, ordered by what a role of the conformance statement asks for ---------------------

/// As an SCU: what becomes of each status of the SCP.
std::string scu_status(Transaction transaction) {
  const bool mpps = transaction == Transaction::create || transaction == Transaction::update;
  Table table(mpps ? Row{"status", "told to a user agent", "told to a modality",
                         "if it came from the queue"}
                   : Row{"status", "told to a user agent", "told to a modality"});
  for (const auto& row : mapping::dimse_to_http_rows()) {
    if (row.transaction != transaction) continue;
    Row cells{condition_of(row), answer_of(row), "as received"};
    if (mpps) {
      Outcome outcome = Outcome::answered(row.first);
      if (row.condition.find("Error ID A710") != std::string_view::npos) {
        outcome.error_id = mapping::dimse_status::error_id_may_no_longer_be_updated;
      }
      const bool rest = row.first == 0x0000 && row.last == 0xFFFF;
      cells.push_back(rest ? std::string(to_string(gateway::delivery_rules().back().verdict))
                           : std::string(to_string(gateway::rule_for(outcome).verdict)));
    }
    table.add(cells);
  }
  return table.text();
}

std::string class_name(std::uint16_t status) {
  switch (mapping::classify(status)) {
    case mapping::StatusClass::success:
      return "Success";
    case mapping::StatusClass::pending:
      return "Pending";
    case mapping::StatusClass::cancel:
      return "Cancel";
    case mapping::StatusClass::warning:
      return "Warning";
    case mapping::StatusClass::failure:
      return "Failure";
  }
  return "";
}

/// As an SCP over an origin server: what each status of ours stands for.
std::string scp_status(Transaction transaction) {
  std::map<std::uint16_t, std::vector<std::string>> conditions;
  std::vector<std::uint16_t> order;
  for (const auto& row : mapping::http_to_dimse_rows()) {
    if (row.transaction != transaction) continue;
    if (conditions.find(row.dimse) == conditions.end()) order.push_back(row.dimse);
    add_once(conditions[row.dimse],
             fmt::format("HTTP {}: {}", http_words(row.first, row.last), row.why));
  }
  Table table({"service status", "status", "condition, where the backend is an origin server"});
  for (const std::uint16_t status : order) {
    table.add(
        {class_name(status), fmt::format("{:04X}", status), joined(conditions[status], "; ")});
  }
  return table.text();
}

/// As an origin server: what each HTTP status of ours stands for.
std::string origin_server(Transaction transaction) {
  std::map<int, std::vector<std::string>> conditions;
  for (const auto& row : mapping::dimse_to_http_rows()) {
    if (row.transaction != transaction) continue;
    conditions[row.http].push_back(condition_of(row));
  }
  for (const auto& row : mapping::network_event_rows()) {
    conditions[row.http].push_back(name_of(row.event));
  }
  Table table({"HTTP status", "condition of the backend"});
  for (const auto& [status, list] : conditions) {
    std::vector<std::string> once;
    for (const std::string& one : list) add_once(once, one);
    table.add({http_text(status), joined(once, "; ")});
  }
  return table.text();
}

// ---- Attributes ---------------------------------------------------------------------------------

std::string indented(std::string_view path, std::string_view keyword) {
  std::string text;
  for (const char c : path) {
    if (c == '.') text += "> ";
  }
  return text + std::string(keyword);
}

std::string tag_of(std::string_view path) {
  const std::string_view last = path.substr(path.rfind('.') == path.npos ? 0 : path.rfind('.') + 1);
  return fmt::format("({},{})", last.substr(0, 4), last.substr(4));
}

std::string worklist_attributes() {
  Table table({"attribute", "tag", "VR", "matching key", "return key"});
  for (const auto& row : mapping::worklist_attributes()) {
    table.add({indented(row.path, row.keyword), tag_of(row.path),
               std::string(mapping::to_string(row.vr)), std::string(row.matching_key),
               std::string(row.return_key)});
  }
  return table.text();
}

std::string mpps_attributes() {
  Table table({"attribute", "tag", "VR", "N-CREATE", "N-SET", "final state"});
  for (const auto& row : mapping::mpps_attributes()) {
    table.add({indented(row.path, row.keyword), tag_of(row.path),
               std::string(mapping::to_string(row.vr)),
               fmt::format("{}/{}", row.n_create_scu, row.n_create_scp),
               fmt::format("{}/{}", row.n_set_scu, row.n_set_scp), std::string(row.final_state)});
  }
  return table.text();
}

std::string mpps_retrieve_attributes() {
  Table table({"attribute", "tag", "VR", "usage SCU/SCP"});
  for (const auto& row : mapping::mpps_retrieve_attributes()) {
    table.add({indented(row.path, row.keyword), tag_of(row.path),
               std::string(mapping::to_string(row.vr)),
               fmt::format("{}/{}", row.usage_scu, row.usage_scp)});
  }
  return table.text();
}

// ---- Keys of the configuration ------------------------------------------------------------------

using Words = std::map<std::string, std::string>;

/// The last cell of each row of a table that is there, by its first cell.
Words kept_words(std::string_view table) {
  constexpr std::string_view bar = " | ", end = " |";
  Words kept;
  std::istringstream lines{std::string(table)};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `") || !line.ends_with(end)) continue;
    line.resize(line.size() - end.size());
    const std::size_t last = line.rfind(bar);
    const std::size_t first = line.find(bar);
    if (last == line.npos || last == first) continue;
    std::string text = line.substr(last + bar.size());
    for (std::size_t at = text.find("\\|"); at != text.npos; at = text.find("\\|", at)) {
      text.erase(at, 1);
    }
    kept[line.substr(2, first - 2)] = text;
  }
  return kept;
}

std::string keys_of(std::string_view section, const Words& kept, std::vector<std::string>& faults) {
  constexpr std::string_view mark = " (required)";
  Table table({"key", "default", "allowed", "changed by", "what it is for"});
  for (const gateway::ConfigKey& row : gateway::config_keys()) {
    if (row.section != section) continue;
    const auto found = kept.find(code(row.key));
    const std::string meaning = found == kept.end() ? std::string() : found->second;
    if (meaning.empty()) {
      faults.push_back(fmt::format("[{}] {}: say in its row what it is for", section, row.key));
    }
    std::string allowed = row.allowed;
    const bool required = allowed.ends_with(mark);
    if (required) allowed.resize(allowed.size() - mark.size());
    const std::string otherwise = row.from_front ? "as in `[dimse]`" : code(row.default_value);
    table.add({code(row.key), required ? "required" : otherwise, allowed,
               row.at_start ? "restart" : "reload", meaning});
  }
  return table.text();
}

// ---- Documents ----------------------------------------------------------------------------------

constexpr std::string_view keys = "keys ";

/// before: the table as it is there. Nothing if there is no table of this name.
std::string make_table(std::string_view name, std::string_view before,
                       std::vector<std::string>& faults) {
  if (name.starts_with(keys)) {
    return keys_of(name.substr(keys.size()), kept_words(before), faults);
  }
  for (const Named& one : transactions) {
    const auto is = [&](std::string_view kind) {
      return name == fmt::format("{} {}", kind, one.name);
    };
    if (is("dimse-to-http")) return dimse_to_http(one.transaction);
    if (is("http-to-dimse")) return http_to_dimse(one.transaction);
    if (is("scu-status")) return scu_status(one.transaction);
    if (is("scp-status")) return scp_status(one.transaction);
    if (is("origin-server")) return origin_server(one.transaction);
  }
  if (name == "network-events") return network_events();
  if (name == "network-to-dimse") return network_to_dimse();
  if (name == "delivery-rules") return delivery_rules();
  if (name == "worklist-attributes") return worklist_attributes();
  if (name == "mpps-attributes") return mpps_attributes();
  if (name == "mpps-retrieve-attributes") return mpps_retrieve_attributes();
  return {};
}

/// The document with its tables made new. faults: tables that are unknown, not ended, or not there.
std::string with_tables(const std::string& document, std::vector<std::string>& faults) {
  constexpr std::string_view begin = "<!-- table: ", name_end = " -->\n",
                             end = "<!-- end of table -->";
  std::string result;
  std::set<std::string, std::less<>> made;
  std::size_t at = 0;
  for (;;) {
    const std::size_t start = document.find(begin, at);
    if (start == document.npos) break;
    const std::size_t name = start + begin.size();
    const std::size_t body = document.find(name_end, name) + name_end.size();
    const std::size_t close = document.find(end, name);
    if (close == document.npos || close < body) {
      faults.push_back(
          fmt::format("expected {}NAME --> on a line of its own and {} behind it", begin, end));
      break;
    }
    const std::string table_name = document.substr(name, body - name - name_end.size());
    const std::string table =
        make_table(table_name, std::string_view(document).substr(body, close - body), faults);
    if (table.empty()) faults.push_back(fmt::format("there is no table {}", table_name));
    result += document.substr(at, body - at) + table;
    made.insert(table_name);
    at = close;
  }
  if (made.empty()) faults.emplace_back("expected tables in it");
  // Whoever tells of one section's keys tells of them all.
  if (std::any_of(made.begin(), made.end(), [](auto& name) { return name.starts_with(keys); })) {
    for (const gateway::ConfigKey& row : gateway::config_keys()) {
      const std::string name = std::string(keys) + row.section;
      if (made.insert(name).second) faults.push_back(fmt::format("expected a table {}", name));
    }
  }
  return result + document.substr(at);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool check = !arguments.empty() && arguments.front() == "--check";
  bool good = true;
  for (std::size_t i = check ? 1 : 0; i < arguments.size(); ++i) {
    const std::string& path = arguments[i];
    std::ifstream file(path, std::ios::binary);
    const std::string before{std::istreambuf_iterator<char>(file), {}};
    std::vector<std::string> faults;
    const std::string after = with_tables(before, faults);
    if (check && after != before) {
      faults.emplace_back("is not what the code has: run scripts/generate_docs.sh");
    } else if (after != before) {
      std::ofstream(path, std::ios::binary) << after;
    }
    for (const std::string& fault : faults) std::cerr << path << ": " << fault << '\n';
    good = good && faults.empty();
  }
  return good ? 0 : 1;
}
