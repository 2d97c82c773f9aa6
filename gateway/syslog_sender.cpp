// Non-blocking sockets under deadlines. Neither transport acknowledges a message; what can be known
// is whether the other host's kernel has the bytes, and that is asked before a message counts as
// sent.
#include "gateway/syslog_sender.h"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "dimse/connector.h"
#include "dimse/descriptor.h"
#include "dimse/transport.h"

namespace gateway {
namespace {

using Clock = std::chrono::steady_clock;
using Status = dimse::TlsSession::Status;
using namespace std::chrono_literals;

constexpr std::uint16_t udp_port = 514, tls_port = 6514;
/// How long a host that has nobody on a UDP port may take to say so (ICMP).
constexpr auto time_to_refuse_datagrams = 20ms;
constexpr auto first_look = 1ms, longest_look = 64ms;
/// Kilobytes that a collector may say at a time; it has nothing to say.
constexpr int most_said = 64;
/// What the reason begins with where TLS failed.
constexpr std::string_view tls_failed = "TLS: ";

constexpr const char* expected_uri = "expected udp://HOST[:514] or tls://HOST[:6514]";

mapping::Fault malformed() { return {mapping::Fault::Kind::invalid_value, expected_uri, {}}; }

std::string error_text(int error) { return std::generic_category().message(error); }

/// PRINTUSASCII of a limited length, "-" for none. RFC 5424, 6.
std::string header_field(std::string_view text, std::size_t most) {
  std::string field;
  for (const char c : text.substr(0, most)) field += c > 0x20 && c < 0x7F ? c : '?';
  return field.empty() ? "-" : field;
}

enum class Ready { yes, no, stopped };

/// Waits for the events, the deadline or the stop.
Ready wait(int descriptor, short events, int stop, Clock::time_point deadline) {
  for (;;) {
    pollfd ready[] = {{descriptor, events, 0}, {stop, POLLIN, 0}};
    const int count = ::poll(ready, 2, dimse::poll_timeout(deadline));
    if (count < 0 && errno != EINTR) return Ready::no;
    if (ready[0].revents != 0) return Ready::yes;
    if (ready[1].revents != 0) return Ready::stopped;
    if (Clock::now() >= deadline) return Ready::no;
  }
}

}  // namespace

mapping::Result<SyslogTarget> SyslogTarget::parse(std::string_view uri) {
  SyslogTarget target;
  if (uri.starts_with("udp://")) {
    target.port = udp_port;
  } else if (uri.starts_with("tls://")) {
    target.transport = Transport::tls;
    target.port = tls_port;
  } else {
    return malformed();
  }
  std::string_view rest = uri.substr(6);
  std::string_view host;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return malformed();
    host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(host.size());
  }
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return c > 0x20 && c < 0x7F && std::string_view("/?#@[]%").find(c) == std::string_view::npos;
  });
  if (host.empty() || !plain) return malformed();
  target.host = host;
  if (rest.empty()) return target;
  if (rest.front() != ':') return malformed();
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), target.port);
  if (error != std::errc() || end != rest.data() + rest.size() || target.port == 0) {
    return malformed();
  }
  return target;
}

std::string SyslogTarget::uri() const {
  const bool ipv_6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", transport == Transport::tls ? "tls" : "udp",
                     ipv_6 ? "[" : "", host, ipv_6 ? "]" : "", port);
}

std::string to_syslog(const SyslogHeader& header, std::string_view utf_8) {
  return fmt::format("<85>1 {} {} {} {} DICOM+RFC3881 - \xEF\xBB\xBF{}", header.time,
                     header_field(header.host, 255), header_field(header.app_name, 48),
                     header_field(header.process, 128), utf_8);
}

/// What stands between us and the collector.
class SyslogSender::Connection {
 public:
  virtual ~Connection() = default;
  virtual std::string send(const std::vector<std::string_view>& messages,
                           Clock::time_point deadline) = 0;
};

// --- UDP -----------------------------------------------------------------------------------------

class SyslogSender::Datagrams : public Connection {
 public:
  Datagrams(dimse::Descriptor socket, int stop) : socket_(std::move(socket)), stop_(stop) {}

  /// Null: why says what went wrong.
  static std::unique_ptr<Connection> open(const SyslogTarget& target, int stop, std::string& why) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (const int code = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(),
                                       &hints, &found)) {
      why = std::string("unknown host: ") + ::gai_strerror(code);
      return nullptr;
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
    for (const auto* address = found; address != nullptr; address = address->ai_next) {
      dimse::Descriptor socket(
          ::socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      // Connected, so that the kernel tells us that nobody listens there.
      if (socket && ::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0) {
        return std::make_unique<Datagrams>(std::move(socket), stop);
      }
      why = "cannot send: " + error_text(errno);
    }
    return nullptr;
  }

  std::string send(const std::vector<std::string_view>& messages,
                   Clock::time_point deadline) override {
    for (const std::string_view message : messages) {
      while (::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != ENOBUFS) return "cannot send: " + error_text(errno);
        const auto ready = wait(socket_.get(), POLLOUT, stop_, deadline);
        if (ready != Ready::yes) return ready == Ready::stopped ? "stopped" : "cannot send in time";
      }
    }
    // Not cut short by a stop: it would make every last message count as sent.
    wait(socket_.get(), POLLERR, -1, Clock::now() + time_to_refuse_datagrams);
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    return error == 0 ? "" : "cannot send: " + error_text(error);
  }

 private:
  const dimse::Descriptor socket_;
  const int stop_;
};

// --- TLS -----------------------------------------------------------------------------------------

class SyslogSender::Stream : public Connection {
 public:
  Stream(dimse::Descriptor socket, std::unique_ptr<dimse::TlsSession> tls, int stop)
      : socket_(std::move(socket)), tls_(std::move(tls)), stop_(stop) {}
  ~Stream() override { tls_->say_goodbye(); }

  /// Null: why says what went wrong.
  static std::unique_ptr<Connection> open(const SyslogOptions& options,
                                          const dimse::TlsContext& context, int stop,
                                          std::string& why) {
    auto socket = dimse::connect_to(options.target.host, options.target.port,
                                    Clock::now() + options.connect_timeout, why);
    if (!socket) return nullptr;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto tls = context.connect(socket.get(), options.target.host);
    if (!tls->shake_hands(Clock::now() + options.connect_timeout, stop)) {
      why = fmt::format("{}{}", tls_failed, tls->failure());
      return nullptr;
    }
    auto stream = std::make_unique<Stream>(std::move(socket), std::move(tls), stop);
    // In TLS 1.3 our side is done before the collector has looked at our certificate. What it says
    // next is either its session tickets or that it refuses; one that gives out no tickets costs
    // this time once a connection.
    wait(stream->socket_.get(), POLLIN, stop, Clock::now() + options.connect_timeout);
    why = stream->look();
    if (!why.empty()) return nullptr;
    return stream;
  }

  std::string send(const std::vector<std::string_view>& messages,
                   Clock::time_point deadline) override {
    if (std::string ended = look(); !ended.empty()) return ended;
    std::string frames;  // RFC 5425, 4.3
    for (const std::string_view message : messages) {
      frames += fmt::format("{} {}", message.size(), message);
    }
    std::string_view rest = frames;
    while (!rest.empty()) {
      std::size_t gone = 0;
      const Status status = tls_->send(rest.data(), rest.size(), gone);
      if (status == Status::closed) return ended();
      if (status == Status::ok) {
        rest.remove_prefix(gone);
        continue;
      }
      const short awaited = status == Status::wants_output ? POLLOUT : POLLIN;
      const auto ready = wait(socket_.get(), awaited, stop_, deadline);
      if (ready != Ready::yes) return ready == Ready::stopped ? "stopped" : "does not take it";
    }
    return await_acknowledged(deadline);
  }

 private:
  std::string ended() const {
    if (tls_->failure().empty()) return "connection closed";
    return fmt::format("{}{}", tls_failed, tls_->failure());
  }

  /// Why the collector has ended the connection; empty if it has not. What else it says is of no
  /// interest.
  std::string look() {
    char said[1024];
    for (int i = 0; i < most_said; ++i) {
      std::size_t got = 0;
      const Status status = tls_->receive(said, sizeof said, got);
      if (status == Status::closed) return ended();
      if (status != Status::ok) return {};
    }
    return "says more than a collector has to say";
  }

  /// Until the other kernel has acknowledged every byte: what a broken connection still held here
  /// never arrived.
  std::string await_acknowledged(Clock::time_point deadline) {
    for (auto pause = first_look;; pause = std::min(2 * pause, longest_look)) {
      int unacknowledged = 0;
      if (::ioctl(socket_.get(), SIOCOUTQ, &unacknowledged) != 0) return error_text(errno);
      if (std::string ended = look(); !ended.empty()) return ended;
      if (unacknowledged == 0) return {};
      if (Clock::now() >= deadline) return "does not take it";
      const auto ready = wait(socket_.get(), POLLERR, stop_, Clock::now() + pause);
      if (ready == Ready::stopped) return "stopped";
    }
  }

  const dimse::Descriptor socket_;
  const std::unique_ptr<dimse::TlsSession> tls_;
  const int stop_;
};

// -------------------------------------------------------------------------------------------------

SyslogSender::SyslogSender(SyslogOptions options, int stop_descriptor,
                           std::shared_ptr<const dimse::TlsContext> tls)
    : options_(std::move(options)), stop_(stop_descriptor), tls_(std::move(tls)) {}

mapping::Result<std::unique_ptr<SyslogSender>> SyslogSender::make(SyslogOptions options,
                                                                  int stop_descriptor) {
  std::shared_ptr<const dimse::TlsContext> tls;
  if (options.target.transport == SyslogTarget::Transport::tls) {
    auto made = dimse::TlsContext::for_scu(options.tls);
    if (!made) return made.fault();
    tls = std::move(made).value();
  }
  return std::unique_ptr<SyslogSender>(
      new SyslogSender(std::move(options), stop_descriptor, std::move(tls)));
}

SyslogSender::~SyslogSender() = default;

std::optional<SyslogSender::Failure> SyslogSender::send(
    const std::vector<std::string_view>& messages) {
  std::string why;
  if (!connection_) {
    connection_ = tls_ ? Stream::open(options_, *tls_, stop_, why)
                       : Datagrams::open(options_.target, stop_, why);
  }
  if (connection_) why = connection_->send(messages, Clock::now() + options_.send_timeout);
  if (why.empty()) return std::nullopt;
  connection_.reset();
  return Failure{why, why.starts_with(tls_failed)};
}

}  // namespace gateway
