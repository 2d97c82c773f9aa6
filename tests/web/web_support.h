// What the tests of the web room stand on: a raw HTTP client that may misbehave, a scripted HTTP
// server that may lie, and the two services in memory. Loopback only; every wait is bounded.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "mapping/json.h"
#include "mapping/log.h"
#include "mapping/services.h"

namespace web_test {

inline constexpr std::chrono::seconds patience{10};

/// What a test did before it sent a request is over when the service runs, and the other way round:
/// the sockets order it. ThreadSanitizer does not see that, so both sides say it again.
void cross_the_wire();

struct Response {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// The value of the first header with this name; "-" if there is none.
  std::string header(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;
};

/// A file with this text, that goes with the test.
class File {
 public:
  explicit File(const std::string& text);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  std::string path;
};

/// A TCP client that sends what it is told.
class Client {
 public:
  /// from: the loopback address it comes from.
  explicit Client(std::uint16_t port, const char* from = "127.0.0.1");
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// False if the server no longer takes it.
  bool send(std::string_view bytes);
  /// One whole response; status 0 if the connection ended before or patience did.
  Response receive(bool to_head = false);
  /// The server ended the connection, in time.
  bool closed();
  void half_close();
  void close();
  int descriptor() const { return socket_; }

 private:
  bool fill();
  int socket_ = -1;
  std::string in_;
};

/// One request on a connection of its own.
Response ask(std::uint16_t port, std::string_view bytes);
std::string get(std::string_view target, std::string_view more_headers = {});
std::string post(std::string_view target, std::string_view body,
                 std::string_view content_type = "application/dicom+json",
                 std::string_view more_headers = {});

/// A request as the scripted server saw it, and the connection it came on.
class Peer {
 public:
  Peer(int socket, int connection) : socket_(socket), connection_(connection) {}
  void send(std::string_view bytes);
  /// A well-made response.
  void answer(int status, std::string_view body = {},
              std::vector<std::pair<std::string, std::string>> headers = {});
  void close() { open_ = false; }
  /// RST instead of FIN.
  void reset();
  /// Returns when the client ended the connection.
  void wait_for_end();
  bool open() const { return open_; }
  int connection() const { return connection_; }  ///< 1, 2, … in the order of accept

 private:
  int socket_;
  int connection_;
  bool open_ = true;
};

struct Request {
  std::string method;
  std::string target;
  std::string head;
  std::string body;
  int connection = 0;
};

/// Answers the n-th request by the n-th step; further ones by 599.
class ScriptedServer {
 public:
  using Step = std::function<void(Peer&, const Request&)>;
  explicit ScriptedServer(std::vector<Step> script);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::uint16_t port() const { return port_; }
  std::string base_uri() const { return "http://127.0.0.1:" + std::to_string(port_) + "/ris"; }
  std::vector<Request> requests();

 private:
  void accept_all();
  void serve(int socket, int connection);

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<Step> script_;              // guarded by mutex_
  std::vector<Request> requests_;         // guarded by mutex_
  std::vector<int> sockets_;              // guarded by mutex_
  std::vector<std::thread> connections_;  // guarded by mutex_
  std::size_t next_ = 0;                  // guarded by mutex_
};

/// A port on which nobody listens.
std::uint16_t dead_port();

mapping::DataSet data_set(std::string_view json);
std::string json(const mapping::DataSet& data_set);

/// A scheduled step as an SCP would send it.
mapping::DataSet scheduled_step(int number);

/// Answers with a list and an outcome.
class MemoryWorklist : public mapping::WorklistService {
 public:
  std::vector<mapping::DataSet> matches;
  mapping::Outcome outcome;
  bool optional_keys_supported = true;
  std::function<void(const mapping::Context&)> before;  ///< runs first

  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;
  mapping::Search last();
  mapping::Context last_context();
  std::size_t handed_on() const { return handed_on_; }

 private:
  std::mutex mutex_;
  mapping::Search last_;
  mapping::Context last_context_;
  std::atomic<std::size_t> handed_on_{0};
};

/// A performed procedure step manager with the states of PS3.4, F.7.2.2.3.
class MemoryMpps : public mapping::MppsService {
 public:
  /// Takes the place of the answer where it is set.
  std::function<mapping::Outcome(const mapping::Context&)> instead;
  mapping::Outcome good;  ///< the outcome where all went well
  std::atomic<bool> retrievable = true;

  bool offers_retrieve() const override { return retrievable; }
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;

  mapping::DataSet stored(const std::string& uid);
  void store(const std::string& uid, const mapping::DataSet& object);
  void forget(const std::string& uid);
  mapping::AttributeList last_attributes();

 private:
  std::mutex mutex_;
  std::map<std::string, mapping::DataSet> objects_;
  mapping::AttributeList last_attributes_;
};

/// Keeps every line.
class Lines {
 public:
  mapping::Log log();
  bool hold(std::string_view text);

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// In gzip.
std::string gzip(std::string_view plain);

struct Run {
  int code = -1;
  std::string output;  ///< both streams
};

/// Runs a command of the shell to its end.
Run run(const std::string& command);

/// Waits until the condition holds. False if patience ended.
bool eventually(const std::function<bool()>& condition);

inline mapping::Log silent() {
  return [](mapping::LogLevel, std::string_view) {};
}

}  // namespace web_test
