// Test bench of an engine: external memory behind its AXI4 port, a host at its AXI4-Lite port.
//
// Compiled with Verilator (a folder with Vengine.h) or with CXXRTL (-DCXXRTL, engine.cxxrtl.h); ports.h maps port names
// and holds BUS_BYTES. Arguments are name=value:
//
//   program=FILE        what memory holds from address 0 on
//   memory=N            bytes of memory                      count=N      descriptors to run
//   inputs=FILE         images, one after another            input=A:N    where each goes, its bytes
//   outputs=FILE        memory after each image              dump=A:N     which part of it
//   expected=FILE       what `outputs` must be (optional)
//   images=N  first=N   how many, from which on
//   latency=N           cycles from an address to its data   rate=N       bytes per 1000 cycles, both ways; 0: no limit
//   stall=N  seed=N     of 1000 cycles, at random, in which each of the memory's channels rests; the seed of that and,
//                       with Verilator, of what memories and registers without a reset hold at first
//   hold=aw  hold=w     an address is taken only when its data is there, or data only when its address was taken
//   fault=r  fault=b    the first word read, or the first write, is answered with an error, and must be reported
//   offset=A            base address of the accelerator's memory
//   limit=N             cycles after which a run is given up
//   vcd=FILE            waveform of the first image (compiled with -DTRACE)
//   bucket=N            what kernels did, counted over N cycles each, for engines with probes (P_probe_* in ports.h)
//
// Prints one JSON object a line: progress, then for each image its cycles and the cycle at which each descriptor ended;
// last, with expected=, a line that begins with PASS, when all is as expected.
// Exit codes: 0 done, 1 wrong arguments, 2 outputs differ, 3 given up, 4 protocol violated or register wrong.

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "ports.h"
#ifdef CXXRTL
#include "engine.cxxrtl.h"
#ifdef TRACE
#include <cxxrtl/cxxrtl_vcd.h>
#endif
using Top = cxxrtl_design::p_engine;
#else
#include "Vengine.h"
#ifdef TRACE
#include "verilated_vcd_c.h"
#endif
using Top = Vengine;
double sc_time_stamp() { return 0; }
#endif

namespace {

[[noreturn]] void fail(int code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fflush(stdout);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(code);
}

// Values of ports, as numbers and as bytes.

#ifdef CXXRTL
template <size_t N> void put(cxxrtl::value<N>& port, uint64_t value) {
  port.data[0] = uint32_t(value);
  if constexpr (N > 32) port.data[1] = uint32_t(value >> 32);
}
template <size_t N> uint64_t get(const cxxrtl::value<N>& port) {
  uint64_t value = port.data[0];
  if constexpr (N > 32) value |= uint64_t(port.data[1]) << 32;
  return value;
}
template <size_t N> void put_bytes(cxxrtl::value<N>& port, const uint8_t* from) { memcpy(port.data, from, N / 8); }
template <size_t N> void get_bytes(const cxxrtl::value<N>& port, uint8_t* to) { memcpy(to, port.data, N / 8); }
template <size_t N> void put(cxxrtl::wire<N>& port, uint64_t value) { put(port.next, value); }
template <size_t N> uint64_t get(const cxxrtl::wire<N>& port) { return get(port.curr); }
template <size_t N> void put_bytes(cxxrtl::wire<N>& port, const uint8_t* from) { put_bytes(port.next, from); }
template <size_t N> void get_bytes(const cxxrtl::wire<N>& port, uint8_t* to) { get_bytes(port.curr, to); }
#else
template <class T, std::enable_if_t<std::is_integral<T>::value, int> = 0> void put(T& port, uint64_t value) {
  port = T(value);
}
template <class T, std::enable_if_t<std::is_integral<T>::value, int> = 0> uint64_t get(const T& port) { return port; }
template <size_t N> uint64_t get(const VlWide<N>& port) { return port.m_storage[0] | uint64_t(port.m_storage[1]) << 32; }
template <class T> void put_bytes(T& port, const uint8_t* from) { memcpy(&port, from, sizeof(T)); }
template <class T> void get_bytes(const T& port, uint8_t* to) { memcpy(to, &port, sizeof(T)); }
#endif

struct Options {
  std::map<std::string, std::string> text;
  std::string str(const char* name) const {
    auto found = text.find(name);
    return found == text.end() ? "" : found->second;
  }
  uint64_t number(const char* name, uint64_t otherwise) const {
    auto found = text.find(name);
    return found == text.end() ? otherwise : strtoull(found->second.c_str(), nullptr, 0);
  }
  std::pair<uint64_t, uint64_t> range(const char* name) const {
    std::string value = str(name);
    size_t colon = value.find(':');
    if (colon == std::string::npos) fail(1, "expected %s=ADDRESS:BYTES", name);
    return {strtoull(value.c_str(), nullptr, 0), strtoull(value.c_str() + colon + 1, nullptr, 0)};
  }
};

struct Random {
  uint64_t state;
  explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15ull + 0x853c49e6748fea9bull) {}
  bool chance(unsigned per_mille) {  // xorshift64*
    if (!per_mille) return false;
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1dull >> 40) % 1000 < per_mille;
  }
};

// External memory: bursts are answered in order; every word moved costs its bytes of the bandwidth.
class Memory {
 public:
  std::vector<uint8_t> data;
  uint64_t words_read = 0, words_written = 0;

  Memory(Top& top, const Options& o)
      : top_(top), seed_(o.number("seed", 0)), random_(seed_), offset_(o.number("offset", 0)),
        latency_(o.number("latency", 32)), rate_(o.number("rate", 0)), stall_(unsigned(o.number("stall", 0))),
        hold_(o.str("hold")), fault_(o.str("fault")) {
    if (hold_ != "" && hold_ != "aw" && hold_ != "w") fail(1, "expected hold=aw or hold=w, got '%s'", hold_.c_str());
    if (fault_ != "" && fault_ != "r" && fault_ != "b") fail(1, "expected fault=r or fault=b, got '%s'", fault_.c_str());
  }

  // As before the first image: what an image takes does not depend on those before it.
  void restart() {
    if (!reads_.empty() || !writes_.empty() || !words_.empty() || !answers_.empty())
      fail(4, "the engine is not busy and bursts are open");
    random_ = Random(seed_);
    cycle_ = 0, credit_ = 0, fresh_ = true;
    ar_ready_ = r_valid_ = aw_ready_ = w_ready_ = b_valid_ = turn_ = false;
  }

  bool faulty() const { return !fault_.empty(); }

  void drive() {  // what the engine sees in the coming cycle
    put(top_.P_m_axi_arready, ar_ready_);
    put(top_.P_m_axi_rvalid, r_valid_);
    if (r_valid_) {
      put_bytes(top_.P_m_axi_rdata, &data[reads_.front().address]);
      put(top_.P_m_axi_rlast, reads_.front().words == 1);
    }
    put(top_.P_m_axi_rresp, r_valid_ && fresh_ && fault_ == "r" ? 2 : 0);
    put(top_.P_m_axi_bresp, b_valid_ && fresh_ && fault_ == "b" ? 2 : 0);
    put(top_.P_m_axi_awready, aw_ready_);
    put(top_.P_m_axi_wready, w_ready_);
    put(top_.P_m_axi_bvalid, b_valid_);
  }

  void sample() {  // before the clock's edge
    cycle_++;
    const auto& t = top_;
    address_read_.check("AR", ar_ready_, get(t.P_m_axi_arvalid),
                        {get(t.P_m_axi_araddr), get(t.P_m_axi_arlen), get(t.P_m_axi_arsize), get(t.P_m_axi_arburst)});
    address_write_.check("AW", aw_ready_, get(t.P_m_axi_awvalid),
                         {get(t.P_m_axi_awaddr), get(t.P_m_axi_awlen), get(t.P_m_axi_awsize), get(t.P_m_axi_awburst)});
    Word offered;
    memset(offered.data, 0, sizeof offered.data);
    bool writing = get(t.P_m_axi_wvalid);
    if (writing) {
      get_bytes(top_.P_m_axi_wdata, offered.data);
      offered.strobe = get(t.P_m_axi_wstrb);
      offered.last = get(t.P_m_axi_wlast);
    }
    std::vector<uint64_t> payload{offered.strobe, offered.last};
    payload.insert(payload.end(), offered.data, offered.data + BUS_BYTES);
    data_write_.check("W", w_ready_, writing, payload);
    credit_ = std::min<int64_t>(credit_ + int64_t(rate_), int64_t(std::max<uint64_t>(rate_, 4000 * BUS_BYTES)));
    if (r_valid_ && get(top_.P_m_axi_rready)) {
      Burst& b = reads_.front();
      words_read++;
      if (fault_ == "r") fresh_ = false;
      b.address += BUS_BYTES;
      if (--b.words == 0) reads_.pop_front();
      credit_ -= 1000 * BUS_BYTES;
      r_valid_ = false;
    }
    if (ar_ready_ && get(top_.P_m_axi_arvalid))
      reads_.push_back(burst("read", get(top_.P_m_axi_araddr), get(top_.P_m_axi_arlen), get(top_.P_m_axi_arsize),
                             get(top_.P_m_axi_arburst)));
    if (aw_ready_ && get(top_.P_m_axi_awvalid))
      writes_.push_back(burst("write", get(top_.P_m_axi_awaddr), get(top_.P_m_axi_awlen), get(top_.P_m_axi_awsize),
                              get(top_.P_m_axi_awburst)));
    if (w_ready_ && writing) {
      words_.push_back(offered);
      words_written++;
      credit_ -= 1000 * BUS_BYTES;
    }
    while (!writes_.empty() && !words_.empty()) {
      Burst& b = writes_.front();
      const Word& w = words_.front();
      if (w.last != (b.words == 1)) fail(4, "WLAST is wrong at address 0x%llx", (unsigned long long)b.address);
      for (size_t i = 0; i < BUS_BYTES; i++)
        if (w.strobe >> i & 1) data[b.address + i] = w.data[i];
      b.address += BUS_BYTES;
      words_.pop_front();
      if (--b.words == 0) {
        answers_.push_back(cycle_ + latency_);
        writes_.pop_front();
      }
    }
    if (b_valid_ && get(top_.P_m_axi_bready)) {
      answers_.pop_front(), b_valid_ = false;
      if (fault_ == "b") fresh_ = false;
    }
    // Whoever was not served last goes first when the bandwidth is short.
    bool credit = !rate_ || credit_ >= int64_t(1000 * BUS_BYTES);
    bool more = !rate_ || credit_ >= int64_t(2000 * BUS_BYTES);
    bool wants_read = r_valid_ || (!reads_.empty() && reads_.front().from <= cycle_ && !rest());
    bool wants_write = words_.size() < 64 && !rest();
    if (hold_ == "w") wants_write = wants_write && !writes_.empty();
    bool read_first = !turn_ || !writing;
    r_valid_ = r_valid_ || (wants_read && (read_first ? credit : more || !wants_write));
    w_ready_ = wants_write && (read_first && wants_read ? more : credit);
    if (wants_read && writing) turn_ = !turn_;
    ar_ready_ = reads_.size() < 16 && !rest();
    aw_ready_ = writes_.size() < 4 && !rest() && (hold_ != "aw" || writing || !words_.empty());
    b_valid_ = b_valid_ || (!answers_.empty() && answers_.front() <= cycle_ && !rest());
  }

 private:
  struct Burst {
    uint64_t address, words, from;
  };
  struct Word {
    uint8_t data[BUS_BYTES];
    uint64_t strobe = 0;
    bool last = false;
  };

  // What is valid stays so, and as it is, until it is taken.
  struct Channel {
    bool waits = false;
    std::vector<uint64_t> payload;

    void check(const char* name, bool ready, bool valid, std::vector<uint64_t> now) {
      if (waits && !valid) fail(4, "%sVALID fell before %sREADY", name, name);
      if (waits && now != payload) fail(4, "what %sVALID offers changed before %sREADY", name, name);
      waits = valid && !ready;
      payload.swap(now);
    }
  };

  bool rest() { return random_.chance(stall_); }

  Burst burst(const char* what, uint64_t address, uint64_t len, uint64_t size, uint64_t kind) {
    uint64_t bytes = (len + 1) * BUS_BYTES;
    const char* wrong = nullptr;
    if (address % BUS_BYTES) wrong = "is not aligned";
    else if (1ull << size != BUS_BYTES || kind != 1) wrong = "is not of whole words";
    else if (address / 4096 != (address + bytes - 1) / 4096) wrong = "crosses 4 KB";
    else if (address < offset_ || address + bytes > data.size()) wrong = "is outside of memory";
    if (wrong) fail(4, "a %s burst of %llu bytes at 0x%llx %s", what, (unsigned long long)bytes,
                    (unsigned long long)address, wrong);
    return {address, len + 1, cycle_ + latency_};
  }

  Top& top_;
  uint64_t seed_;
  Random random_;
  uint64_t offset_, latency_, rate_, cycle_ = 0;
  unsigned stall_;
  std::string hold_, fault_;
  bool fresh_ = true;  // nothing of the faulty channel has been answered
  Channel address_read_, address_write_, data_write_;
  int64_t credit_ = 0;
  bool ar_ready_ = false, r_valid_ = false, aw_ready_ = false, w_ready_ = false, b_valid_ = false, turn_ = false;
  std::deque<Burst> reads_, writes_;
  std::deque<Word> words_;
  std::deque<uint64_t> answers_;
};

class Bench {
 public:
  Memory memory;

  explicit Bench(const Options& o) : memory(top_, o) {
    std::string path = o.str("vcd");
#ifdef TRACE
    if (!path.empty()) open(path);
#else
    if (!path.empty()) fail(1, "no waveform: this test bench was compiled without -DTRACE");
#endif
    put(top_.P_rst, 1);
    for (int i = 0; i < 4; i++) cycle();
    put(top_.P_rst, 0);
  }

  void cycle() {
    memory.drive();
    put(top_.P_clk, 0);
    eval();
    memory.sample();
    put(top_.P_clk, 1);
    eval();
  }

  Top& top() { return top_; }

  void write(uint64_t address, uint64_t value) {
    put(top_.P_s_axi_awaddr, address), put(top_.P_s_axi_wdata, value), put(top_.P_s_axi_wstrb, 15);
    put(top_.P_s_axi_awvalid, 1), put(top_.P_s_axi_wvalid, 1), put(top_.P_s_axi_bready, 1);
    handshake([&] { return get(top_.P_s_axi_awready) && get(top_.P_s_axi_wready); });
    put(top_.P_s_axi_awvalid, 0), put(top_.P_s_axi_wvalid, 0);
    handshake([&] { return bool(get(top_.P_s_axi_bvalid)); });
    put(top_.P_s_axi_bready, 0);
  }

  uint64_t read(uint64_t address) {
    uint64_t value = 0;
    put(top_.P_s_axi_araddr, address), put(top_.P_s_axi_arvalid, 1), put(top_.P_s_axi_rready, 1);
    handshake([&] { return bool(get(top_.P_s_axi_arready)); });
    put(top_.P_s_axi_arvalid, 0);
    handshake([&] { value = get(top_.P_s_axi_rdata); return bool(get(top_.P_s_axi_rvalid)); });
    put(top_.P_s_axi_rready, 0);
    return value;
  }

  void stop_trace() {
#ifdef TRACE
    if (tracing_) close();
    tracing_ = false;
#endif
  }

 private:
  // Cycles until a condition holds before a clock's edge, that cycle included.
  template <class F> void handshake(F done) {
    for (int i = 0; i < 100; i++) {
      put(top_.P_clk, 0);
      memory.drive();
      eval();
      bool now = done();
      memory.sample();
      put(top_.P_clk, 1);
      eval();
      if (now) return;
    }
    fail(4, "the registers do not answer");
  }

#ifdef CXXRTL
  void eval() {
    top_.step();
#ifdef TRACE
    if (tracing_) {
      vcd_.sample(time_++);
      fwrite(vcd_.buffer.data(), 1, vcd_.buffer.size(), file_);
      vcd_.buffer.clear();
    }
#endif
  }
#ifdef TRACE
  void open(const std::string& path) {
    file_ = fopen(path.c_str(), "wb");
    if (!file_) fail(1, "cannot write %s", path.c_str());
    top_.debug_info(&items_, nullptr, "engine ");
    vcd_.timescale(1, "ns");
    vcd_.add_without_memories(items_);
    tracing_ = true;
  }
  void close() { fclose(file_); }
  cxxrtl::debug_items items_;
  cxxrtl::vcd_writer vcd_;
  FILE* file_ = nullptr;
#endif
#else
  void eval() {
    top_.eval();
#ifdef TRACE
    if (tracing_) vcd_.dump(time_++);
#endif
  }
#ifdef TRACE
  void open(const std::string& path) {
    Verilated::traceEverOn(true);
    top_.trace(&vcd_, 99);
    vcd_.open(path.c_str());
    if (!vcd_.isOpen()) fail(1, "cannot write %s", path.c_str());
    tracing_ = true;
  }
  void close() { vcd_.close(); }
  VerilatedVcdC vcd_;
#endif
#endif
#ifdef TRACE
  uint64_t time_ = 0;
  bool tracing_ = false;
#endif
  Top top_;
};

// Cycles that each kernel spent in each state, and words on the memory port, bucket by bucket.
class Activity {
 public:
  explicit Activity(uint64_t bucket) : bucket_(bucket) {}

  void sample(Top& top, const Memory& memory) {
    (void)top;
    if (!bucket_) return;
    if (cycle_++ % bucket_ == 0) {
      for (auto& states : kernels_) states.push_back({});
      words_.push_back(0);
    }
#ifdef P_probe_conv
    kernels_[0].back().count[get(top.P_probe_conv)]++;
#endif
#ifdef P_probe_dw
    kernels_[1].back().count[get(top.P_probe_dw)]++;
#endif
#ifdef P_probe_pw
    kernels_[2].back().count[get(top.P_probe_pw)]++;
#endif
    uint64_t moved = memory.words_read + memory.words_written;
    words_.back() += moved - before_;
    before_ = moved;
  }

  void start(const Memory& memory) {
    for (auto& states : kernels_) states.clear();
    words_.clear();
    cycle_ = 0;
    before_ = memory.words_read + memory.words_written;
  }

  void print() const {
    if (!bucket_) return;
    static const char* names[] = {"conv", "dw", "pw"};
    printf(", \"bucket\": %llu, \"activity\": {", (unsigned long long)bucket_);
    for (int k = 0; k < 3; k++) {
      printf("\"%s\": [", names[k]);
      for (size_t i = 0; i < kernels_[k].size(); i++) {
        const uint32_t* n = kernels_[k][i].count;
        printf("%s[%u, %u, %u, %u, %u]", i ? ", " : "", n[0], n[1], n[2], n[3], n[4]);
      }
      printf("], ");
    }
    printf("\"memory\": [");
    for (size_t i = 0; i < words_.size(); i++) printf("%s%llu", i ? ", " : "", (unsigned long long)words_[i]);
    printf("]}");
  }

 private:
  struct States {
    uint32_t count[5] = {0, 0, 0, 0, 0};  // of probes.STATES
  };
  uint64_t bucket_, cycle_ = 0, before_ = 0;
  std::vector<States> kernels_[3];
  std::vector<uint64_t> words_;
};

std::vector<uint8_t> contents(const std::string& path) {
  FILE* file = fopen(path.c_str(), "rb");
  if (!file) fail(1, "cannot read '%s'", path.c_str());
  std::vector<uint8_t> out;
  uint8_t buffer[65536];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;) out.insert(out.end(), buffer, buffer + n);
  fclose(file);
  return out;
}

// What memory holds before a run: bytes that a run does not write must not matter, and stay (as in simulate.py).
constexpr uint8_t UNWRITTEN = 0xa5;

enum { CONTROL = 0x00, STATUS = 0x04, PROGRAM = 0x08, COUNT = 0x0c, BASE = 0x10, CYCLES = 0x14, IDENTITY = 0x20 };

}  // namespace

int main(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i++) {
    std::string text = argv[i];
    size_t equal = text.find('=');
    if (equal == std::string::npos) fail(1, "expected name=value, got '%s'", argv[i]);
    o.text[text.substr(0, equal)] = text.substr(equal + 1);
  }
  std::vector<uint8_t> program = contents(o.str("program")), inputs = contents(o.str("inputs")), expected;
  auto input = o.range("input"), dump = o.range("dump");
  uint64_t size = o.number("memory", 0), offset = o.number("offset", 0), count = o.number("count", 0);
  uint64_t first = o.number("first", 0), images = o.number("images", 1), limit = o.number("limit", ~0ull);
  if (program.size() > size || input.first + input.second > size || dump.first + dump.second > size)
    fail(1, "memory of %llu bytes is too small", (unsigned long long)size);
  if (inputs.size() < (first + images) * input.second)
    fail(1, "'%s' has %llu bytes, %llu images take %llu", o.str("inputs").c_str(), (unsigned long long)inputs.size(),
         (unsigned long long)(first + images), (unsigned long long)((first + images) * input.second));
  if (!o.str("expected").empty()) expected = contents(o.str("expected"));
  FILE* out = o.str("outputs").empty() ? nullptr : fopen(o.str("outputs").c_str(), "wb");
  if (!out && !o.str("outputs").empty()) fail(1, "cannot write '%s'", o.str("outputs").c_str());

#ifndef CXXRTL
  // Registers without a reset and memories begin with anything: whatever is read must have been written.
  Verilated::threadContextp()->randReset(2);
  Verilated::threadContextp()->randSeed(int(o.number("seed", 0) % 1000000 + 1));
#endif
  std::unique_ptr<Bench> bench(new Bench(o));
  Memory& memory = bench->memory;
  if (bench->read(IDENTITY) != 0x636f6602) fail(4, "the identity register is 0x%llx", (unsigned long long)bench->read(IDENTITY));
  bench->write(COUNT, 0), bench->write(CONTROL, 1);
  if (bench->read(STATUS) != 2) fail(4, "a start without descriptors is not done");
  bool differs = false;
  Activity activity(o.number("bucket", 0));
  auto shown = std::chrono::steady_clock::now();
  for (uint64_t image = first; image < first + images; image++) {
    memory.data.assign(offset + size, UNWRITTEN);
    std::copy(program.begin(), program.end(), memory.data.begin() + offset);
    std::copy_n(inputs.begin() + image * input.second, input.second, memory.data.begin() + offset + input.first);
    memory.restart();
    uint64_t read = memory.words_read, written = memory.words_written;
    bench->write(PROGRAM, 0), bench->write(COUNT, count), bench->write(BASE, offset), bench->write(CONTROL, 1);
    std::vector<uint64_t> stamps;
    uint64_t cycle = 0;
    activity.start(memory);
    while (get(bench->top().P_busy)) {
      if (cycle >= limit)
        fail(3, "image %llu: %llu of %llu descriptors are done after %llu cycles", (unsigned long long)image,
             (unsigned long long)get(bench->top().P_finished), (unsigned long long)count, (unsigned long long)cycle);
      bench->cycle();
      activity.sample(bench->top(), memory);
      cycle++;
      while (stamps.size() < get(bench->top().P_finished)) stamps.push_back(cycle);
      if (cycle % 4096 == 0) {
        auto now = std::chrono::steady_clock::now();
        if (now - shown > std::chrono::seconds(1)) {
          shown = now;
          printf("{\"progress\": %llu, \"cycle\": %llu, \"finished\": %llu}\n", (unsigned long long)image,
                 (unsigned long long)cycle, (unsigned long long)stamps.size());
          fflush(stdout);
        }
      }
    }
    bench->stop_trace();
    uint64_t status = bench->read(STATUS), cycles = bench->read(CYCLES);
    if (status != (memory.faulty() ? 6 : 2)) fail(4, "image %llu: the status register is %llu", (unsigned long long)image, (unsigned long long)status);
    if (!std::equal(program.begin(), program.end(), memory.data.begin() + offset))
      fail(4, "image %llu: the run has overwritten its program", (unsigned long long)image);
    printf("{\"image\": %llu, \"cycles\": %llu, \"words_read\": %llu, \"words_written\": %llu, \"stamps\": [",
           (unsigned long long)image, (unsigned long long)cycles, (unsigned long long)(memory.words_read - read),
           (unsigned long long)(memory.words_written - written));
    for (size_t i = 0; i < stamps.size(); i++) printf(i ? ", %llu" : "%llu", (unsigned long long)stamps[i]);
    printf("]");
    activity.print();
    printf("}\n");
    fflush(stdout);
    const uint8_t* result = &memory.data[offset + dump.first];
    if (out && fwrite(result, 1, dump.second, out) != dump.second) fail(1, "cannot write '%s'", o.str("outputs").c_str());
    if (!expected.empty()) {
      const uint8_t* right = &expected.at((image + 1) * dump.second - 1) - (dump.second - 1);
      for (uint64_t i = 0; i < dump.second; i++)
        if (result[i] != right[i]) {
          fprintf(stderr, "image %llu: byte %llu of the result is %u, expected %u\n", (unsigned long long)image,
                  (unsigned long long)i, result[i], right[i]);
          differs = true;
          break;
        }
    }
  }
  if (out && fclose(out)) fail(1, "cannot write '%s'", o.str("outputs").c_str());
  bench.reset();
  if (!expected.empty() && !differs)
    printf("PASS: %llu image%s, every byte of the result is as expected\n", (unsigned long long)images, images == 1 ? "" : "s");
  return differs ? 2 : 0;
}
