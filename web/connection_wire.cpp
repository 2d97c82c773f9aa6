#include "web/connection_wire.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace web {
namespace {

/// The pieces of an answer behind so many bytes of its head, as many as there is room for. Returns
/// how many.
std::size_t unsent(std::string_view head, std::size_t sent, const Body& body,
                   std::span<std::string_view> parts) {
  std::size_t count = 0;
  const auto add = [&](std::string_view text) {
    if (!text.empty()) parts[count++] = text;
  };
  add(head.substr(sent));
  for (std::size_t i = 0; i < body.pieces() && count < parts.size(); ++i) add(body.piece(i));
  return count;
}

void count_on(std::string_view head, std::size_t& sent, Body& body, std::size_t more) {
  const std::size_t of_head = std::min(more, head.size() - sent);
  sent += of_head;
  body.consume(more - of_head);
}

}  // namespace

ConnectionWire::ConnectionWire(Descriptor socket, const TlsContext* tls)
    : socket_(std::move(socket)), tls_(tls == nullptr ? nullptr : new TlsSession(*tls)) {}

ConnectionWire::Received ConnectionWire::receive(std::span<char> buffer, std::string_view& got) {
  const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Received::nothing;
  if (size <= 0) return Received::ended;
  got = {buffer.data(), static_cast<std::size_t>(size)};
  if (!tls_) return Received::bytes;
  decrypted_.clear();
  const bool goes_on = tls_->receive(got, decrypted_);
  const std::string answer = tls_->take_output();  // of the handshake, or an alert
  const bool sent = answer.empty() || ::send(socket_.get(), answer.data(), answer.size(),
                                             MSG_NOSIGNAL) == static_cast<ssize_t>(answer.size());
  got = decrypted_;
  if (!goes_on || !sent) return Received::ended;
  return got.empty() ? Received::nothing : Received::bytes;
}

ConnectionWire::Sent ConnectionWire::send(std::string_view head, Body& body, std::size_t& sent) {
  return tls_ ? send_encrypted(head, body, sent) : send_plain(head, body, sent);
}

ConnectionWire::Sent ConnectionWire::send_plain(std::string_view head, Body& body,
                                                std::size_t& sent) {
  std::array<std::string_view, 64> parts;
  while (const std::size_t count = unsent(head, sent, body, parts)) {
    std::array<iovec, parts.size()> vectors{};
    for (std::size_t i = 0; i < count; ++i) {
      vectors[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const ssize_t taken = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (taken >= 0) {
      count_on(head, sent, body, static_cast<std::size_t>(taken));
    } else if (errno == EAGAIN) {
      return Sent::part;
    } else if (errno != EINTR) {
      return Sent::broken;
    }
  }
  return Sent::all;
}

ConnectionWire::Sent ConnectionWire::send_encrypted(std::string_view head, Body& body,
                                                    std::size_t& sent) {
  constexpr std::size_t batch = 64u << 10;  // of records that leave together
  while (true) {
    std::array<std::string_view, 1> next;
    bool more = false;
    while (encrypted_.size() < batch && (more = unsent(head, sent, body, next) > 0)) {
      const std::string_view text = next[0].substr(0, batch);
      if (!tls_->send(text)) return Sent::broken;
      encrypted_ += tls_->take_output();
      count_on(head, sent, body, text.size());
    }
    if (encrypted_.empty() && !more) return Sent::all;
    const Sent flushed = flush();
    if (flushed != Sent::all) return flushed;
  }
}

ConnectionWire::Sent ConnectionWire::flush() {
  while (flushed_ < encrypted_.size()) {
    const ssize_t taken = ::send(socket_.get(), encrypted_.data() + flushed_,
                                 encrypted_.size() - flushed_, MSG_NOSIGNAL);
    if (taken >= 0) {
      flushed_ += static_cast<std::size_t>(taken);
    } else if (errno == EAGAIN) {
      return Sent::part;
    } else if (errno != EINTR) {
      return Sent::broken;
    }
  }
  encrypted_.clear();
  flushed_ = 0;
  return Sent::all;
}

bool ConnectionWire::send_now(std::string_view bytes) {
  std::size_t sent = 0;
  Body nothing;
  return send(bytes, nothing, sent) == Sent::all;
}

void ConnectionWire::end() {
  if (tls_) {
    tls_->close();
    encrypted_ += tls_->take_output();
    flush();
  }
  ::shutdown(socket_.get(), SHUT_WR);
}

}  // namespace web
