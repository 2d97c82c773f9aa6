// What a person does about a message of the queue from the status page: the same as "modgate queue
// retry" and "discard", said in the log with who did it.
#pragma once

#include <functional>
#include <string>

#include "gateway/mpps_queue.h"
#include "mapping/log.h"
#include "web/page_server.h"

namespace gateway {

enum class QueueVerb : std::uint8_t { retry, discard };

/// Safe from any thread. Blocks for the disk.
class QueueActions {
 public:
  /// queue outlives this. wake: tells the delivery that there may be something for a receiver.
  QueueActions(MppsQueue& queue, std::function<void(const std::string&)> wake, mapping::Log log);

  /// action.form: message=NUMBER&receiver=NAME, percent-encoded. Answers an object with "says", a
  /// sentence for a person: 200 done; 400 no such form; 404 no such message; 409 its state does not
  /// allow it; 503 the queue cannot do its work.
  web::Page act(QueueVerb verb, const web::PageAction& action);

 private:
  MppsQueue& queue_;
  const std::function<void(const std::string&)> wake_;
  const mapping::Log log_;
};

}  // namespace gateway
