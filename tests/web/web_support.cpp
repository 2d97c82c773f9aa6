#include "tests/web/web_support.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "mapping/return_keys.h"
#include "mapping/tags.h"
#include "web/gzip.h"

namespace web_test {
namespace {

using mapping::Outcome;
namespace status = mapping::dimse_status;

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool readable(int socket) {
  pollfd look{socket, POLLIN, 0};
  return ::poll(&look, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) > 0;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

const sockaddr* any(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

int bound_socket(std::uint16_t& port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(0);
  if (::bind(socket, any(address), sizeof address) != 0) throw std::runtime_error("bind");
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length);
  port = ntohs(bound.sin_port);
  return socket;
}

struct Crossing {
  Crossing() { cross_the_wire(); }
  ~Crossing() { cross_the_wire(); }
};

std::size_t content_length(std::string_view head) {
  const std::string text = lower(std::string(head));
  const std::size_t at = text.find("content-length:");
  return at == std::string::npos ? 0 : std::stoul(text.substr(at + 15));
}

}  // namespace

File::File(const std::string& text) {
  path = (std::filesystem::temp_directory_path() / "modgate-web-XXXXXX").string();
  const int descriptor = ::mkstemp(path.data());
  REQUIRE(descriptor >= 0);
  ::close(descriptor);
  std::ofstream(path) << text;
}
File::~File() { std::filesystem::remove(path); }

void cross_the_wire() {
  static std::atomic<int> crossings = 0;
  ++crossings;
}

std::string Response::header(std::string_view name) const {
  const auto values = all(name);
  return values.empty() ? "-" : values.front();
}

std::vector<std::string> Response::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : headers) {
    if (key == name) values.push_back(value);
  }
  return values;
}

Client::Client(std::uint16_t port, const char* from)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in own = loopback(0);
  ::inet_pton(AF_INET, from, &own.sin_addr);
  if (::bind(socket_, any(own), sizeof own) != 0) throw std::runtime_error("bind");
  const sockaddr_in address = loopback(port);
  if (::connect(socket_, any(address), sizeof address) != 0) throw std::runtime_error("connect");
  const int one = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

Client::~Client() { close(); }

void Client::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void Client::half_close() { ::shutdown(socket_, SHUT_WR); }

bool Client::send(std::string_view bytes) {
  cross_the_wire();
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Client::fill() {
  std::array<char, 65536> buffer{};
  if (!readable(socket_)) return false;
  const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), 0);
  if (got <= 0) return false;
  in_.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

Response Client::receive(bool to_head) {
  std::size_t end = 0;
  while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return {};
  }
  Response response;
  const std::string head = in_.substr(0, end + 2);
  in_.erase(0, end + 4);
  response.status = std::stoi(head.substr(9, 3));
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const std::size_t next = head.find("\r\n", at);
    const std::size_t colon = head.find(": ", at);
    response.headers.emplace_back(lower(head.substr(at, colon - at)),
                                  head.substr(colon + 2, next - colon - 2));
    at = next + 2;
  }
  const std::size_t length = to_head || response.status < 200 ? 0 : content_length(head);
  while (in_.size() < length) {
    if (!fill()) return {};
  }
  response.body = in_.substr(0, length);
  in_.erase(0, length);
  cross_the_wire();
  return response;
}

bool Client::closed() {
  while (readable(socket_)) {
    char byte = 0;
    if (::recv(socket_, &byte, 1, 0) <= 0) return true;
  }
  return false;
}

Response ask(std::uint16_t port, std::string_view bytes) {
  Client client(port);
  client.send(bytes);
  return client.receive(bytes.starts_with("HEAD "));
}

std::string get(std::string_view target, std::string_view more_headers) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: gateway.example\r\n{}\r\n", target, more_headers);
}

std::string post(std::string_view target, std::string_view body, std::string_view content_type,
                 std::string_view more_headers) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: gateway.example\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}"
      "\r\n{}",
      target, content_type, body.size(), more_headers, body);
}

void Peer::send(std::string_view bytes) {
  if (::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) open_ = false;
}

void Peer::answer(int http_status, std::string_view body,
                  std::vector<std::pair<std::string, std::string>> headers) {
  std::string head = fmt::format("HTTP/1.1 {} Said\r\n", http_status);
  const bool typed = std::any_of(headers.begin(), headers.end(),
                                 [](const auto& each) { return each.first == "Content-Type"; });
  if (!typed && !body.empty()) headers.emplace_back("Content-Type", "application/dicom+json");
  if (http_status != 204) headers.emplace_back("Content-Length", std::to_string(body.size()));
  for (const auto& [name, value] : headers) head += fmt::format("{}: {}\r\n", name, value);
  send(head + "\r\n" + std::string(body));
}

void Peer::reset() {
  const linger hard{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  open_ = false;
}

void Peer::wait_for_end() {
  std::array<char, 4096> buffer{};
  while (readable(socket_) && ::recv(socket_, buffer.data(), buffer.size(), 0) > 0) {
  }
  open_ = false;
}

ScriptedServer::ScriptedServer(std::vector<Step> script) : script_(std::move(script)) {
  listener_ = bound_socket(port_);
  ::listen(listener_, 64);
  acceptor_ = std::thread([this] { accept_all(); });
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  std::vector<std::thread> connections;
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    connections = std::move(connections_);
  }
  for (std::thread& connection : connections) connection.join();
}

std::vector<Request> ScriptedServer::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ScriptedServer::accept_all() {
  for (int number = 1;; ++number) {
    const int socket = ::accept(listener_, nullptr, nullptr);
    if (socket < 0) return;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    connections_.emplace_back([this, socket, number] { serve(socket, number); });
  }
}

void ScriptedServer::serve(int socket, int connection) {
  Peer peer(socket, connection);
  std::string in;
  std::array<char, 65536> buffer{};
  while (peer.open()) {
    const std::size_t end = in.find("\r\n\r\n");
    const std::size_t whole =
        end == std::string::npos ? std::string::npos : end + 4 + content_length(in.substr(0, end));
    if (whole == std::string::npos || in.size() < whole) {
      const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      in.append(buffer.data(), static_cast<std::size_t>(got));
      continue;
    }
    Request request;
    request.head = in.substr(0, end + 2);
    request.body = in.substr(end + 4, whole - end - 4);
    request.method = in.substr(0, in.find(' '));
    const std::size_t target = request.method.size() + 1;
    request.target = in.substr(target, in.find(' ', target) - target);
    request.connection = connection;
    in.erase(0, whole);
    Step step = [](Peer& each, const Request&) { each.answer(599); };
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      if (next_ < script_.size()) step = script_[next_++];
    }
    step(peer, request);
  }
  const std::lock_guard lock(mutex_);
  std::erase(sockets_, socket);
  ::close(socket);
}

std::uint16_t dead_port() {
  std::uint16_t port = 0;
  ::close(bound_socket(port));
  return port;
}

mapping::DataSet data_set(std::string_view text) {
  auto result = mapping::read_json(text);
  if (!result) throw std::runtime_error(result.fault().what);
  return std::move(result).value();
}

std::string json(const mapping::DataSet& data_set) {
  std::string text;
  if (!mapping::write_json(data_set, text)) throw std::runtime_error("write_json");
  return text;
}

mapping::DataSet scheduled_step(int number) {
  return data_set(fmt::format(
      R"({{"00080050":{{"vr":"SH","Value":["ACC{0}"]}},
          "00100010":{{"vr":"PN","Value":[{{"Alphabetic":"DOE^JANE"}}]}},
          "00400100":{{"vr":"SQ","Value":[{{"00080060":{{"vr":"CS","Value":["CT"]}},
                                            "00400009":{{"vr":"SH","Value":["SPS{0}"]}}}}]}}}})",
      number));
}

Outcome MemoryWorklist::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                               const mapping::Context& context) {
  const Crossing crossing;
  {
    const std::lock_guard lock(mutex_);
    last_ = search;
    last_context_ = context;
  }
  if (before) before(context);
  for (const mapping::DataSet& match : matches) {
    ++handed_on_;
    if (!on_match({match, optional_keys_supported})) return Outcome::answered(status::cancel);
  }
  return outcome;
}

mapping::Search MemoryWorklist::last() {
  const std::lock_guard lock(mutex_);
  return last_;
}

mapping::Context MemoryWorklist::last_context() {
  const std::lock_guard lock(mutex_);
  return last_context_;
}

Outcome MemoryMpps::create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                           const mapping::Context& context) {
  const Crossing crossing;
  if (instead) return instead(context);
  const std::lock_guard lock(mutex_);
  if (!objects_.emplace(mpps.text(), attributes).second) {
    return Outcome::answered(status::duplicate_sop_instance);
  }
  return good;
}

Outcome MemoryMpps::update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                           const mapping::Context& context) {
  const Crossing crossing;
  if (instead) return instead(context);
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(mpps.text());
  if (found == objects_.end()) return Outcome::answered(status::no_such_sop_instance);
  if (found->second.view().text(mapping::tags::PerformedProcedureStepStatus) != "IN PROGRESS") {
    return Outcome::may_no_longer_be_updated();
  }
  mapping::DataSetBuilder merged;
  for (const mapping::Element& element : modifications.view()) merged.add(element);
  for (const mapping::Element& element : found->second.view()) {
    if (!modifications.view().find(element.tag)) merged.add(element);
  }
  found->second = merged.build().value();
  return good;
}

Outcome MemoryMpps::retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                             mapping::DataSet& found, const mapping::Context& context) {
  const Crossing crossing;
  if (instead) return instead(context);
  const std::lock_guard lock(mutex_);
  last_attributes_ = attributes;
  const auto object = objects_.find(mpps.text());
  if (object == objects_.end()) return Outcome::answered(status::no_such_sop_instance);
  found = mapping::prune_to_attributes(object->second, attributes);
  return good;
}

mapping::DataSet MemoryMpps::stored(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  return objects_[uid];
}

void MemoryMpps::store(const std::string& uid, const mapping::DataSet& object) {
  const std::lock_guard lock(mutex_);
  objects_[uid] = object;
}

void MemoryMpps::forget(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  objects_.erase(uid);
}

mapping::AttributeList MemoryMpps::last_attributes() {
  const std::lock_guard lock(mutex_);
  return last_attributes_;
}

mapping::Log Lines::log() {
  return [this](mapping::LogLevel, std::string_view line) {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  };
}

bool Lines::hold(std::string_view text) {
  const std::lock_guard lock(mutex_);
  return std::any_of(lines_.begin(), lines_.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

std::string gzip(std::string_view plain) {
  web::Deflater deflater;
  std::string coded;
  deflater.add(plain, coded);
  deflater.finish(coded);
  return coded;
}

Run run(const std::string& command) {
  cross_the_wire();
  Run result;
  std::FILE* pipe = ::popen(("{ " + command + " ; } 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> buffer;
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), got);
  }
  result.code = ::pclose(pipe);
  cross_the_wire();
  return result;
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return condition();
}

}  // namespace web_test
