"""Sums over windows (convolutions, stencils and their derivatives), for files of kernels that have some.

The innermost place of a result is a lane. A row of x is copied with what lies beyond its ends, once for all windows that read it;
then a tile of filters times lanes is added up in registers, straight from these rows: no window is ever written to memory.
"""

WINDOWS = r"""
// Keeps a value in a register that is used several times: compilers would load it anew for every use.
#if defined(__AVX512F__)
#define IN_REGISTER(value) asm("" : "+v"(value))
#elif defined(__x86_64__)
#define IN_REGISTER(value) asm("" : "+x"(value))
#else
#define IN_REGISTER(value)
#endif
template <typename T> constexpr int64_t lanes_of = vector_bytes / sizeof(T);

// Memory of a thread that is used again, and grows where it must.
template <typename T> struct Buffer {
    int64_t count = 0;
    T* start = nullptr;
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    ~Buffer() { std::free(start); }
    T* of(int64_t wanted) {
        if (wanted <= count) return start;
        std::free(start);
        return start = static_cast<T*>(std::malloc((count = wanted) * sizeof(T)));
    }
};

// Offsets in memory of all elements along some axes, each a size and a stride, the last one fastest.
struct Places {
    int64_t count = 1;
    Memory<int64_t> offsets;
    template <int AXES> static int64_t product(const int64_t (&axes)[AXES][2]) {
        int64_t count = 1;
        for (auto& axis : axes) count *= axis[0];
        return count;
    }
    template <int AXES> explicit Places(const int64_t (&axes)[AXES][2]) : count(product(axes)), offsets(count, 0) {
        int64_t repeated = 1;
        for (int axis = AXES - 1; axis >= 0; repeated *= axes[axis--][0])
            for (int64_t i = 0; i < count; ++i) offsets.data()[i] += i / repeated % axes[axis][0] * axes[axis][1];
    }
    int64_t operator[](int64_t i) const { return offsets.data()[i]; }
};

// Windows along one axis: `tap` at `place` reads x at (step * place + dilation * tap + offset) / divide, where that is whole.
enum Border { FILL, EDGE, REFLECT, WRAP };
struct Along {
    int64_t size, places, taps;                 // of x, of the result, of a window
    int64_t x_stride, place_stride, tap_stride; // in x, in the tensor of places, in the weights
    int64_t step, dilation, offset, divide;
    Border border;
    // What is really read; -1 is zero.
    int64_t inside(int64_t at) const {
        if (at >= 0 && at < size) return at;
        if (border == FILL) return -1;
        if (border == EDGE) return at < 0 ? 0 : size - 1;
        const int64_t period = border == WRAP ? size : std::max<int64_t>(2 * (size - 1), 1);
        at = (at % period + period) % period;
        return at < size ? at : period - at;
    }
    int64_t at(int64_t place, int64_t tap) const {
        const int64_t found = step * place + dilation * tap + offset;
        return found % divide ? -1 : inside(found / divide);
    }
};

// The innermost axis: how a row of x is copied, and where its windows lie in the copy. With a step the copy has a row for each
// remainder; with a divisor each remainder of a place has taps of its own.
template <typename T> struct Inner {
    const Along& along;
    int64_t low, span, phases;
    Memory<int64_t> shift, tap, first; // of each tap, those of a phase one after the other
    Inner(const Along& along, int64_t wide) // `wide`: elements that are read at a time
        : along(along), phases(along.divide), shift(along.taps), tap(along.taps), first(along.divide + 1) {
        int64_t high = 0, count = 0;
        low = 0;
        Memory<int64_t> base(along.taps);
        for (int64_t phase = 0; phase < phases; ++phase) {
            first.data()[phase] = count;
            for (int64_t k = 0; k < along.taps; ++k) {
                const int64_t at = phase * along.step + k * along.dilation + along.offset;
                if (at % along.divide) continue;
                const int64_t start = at / along.divide;
                const int64_t whole = floor_divide(start, step());
                low = count ? std::min(low, whole) : whole;
                high = count ? std::max(high, whole) : whole;
                base.data()[count] = start;
                tap.data()[count++] = k;
            }
        }
        first.data()[phases] = count;
        span = (places(0) + wide - 1) / wide * wide + high - low + 1;
        for (int64_t k = 0; k < count; ++k) {
            const int64_t start = base.data()[k];
            shift.data()[k] = modulo(start, step()) * span + floor_divide(start, step()) - low;
        }
    }
    int64_t step() const { return along.divide > 1 ? 1 : along.step; }
    int64_t places(int64_t phase) const { return (along.places - phase + phases - 1) / phases; }
    int64_t pitch() const { return step() * span; }
    template <typename Stored> void copy(const Stored* __restrict row, T* __restrict into) const {
        const int64_t step = this->step(), stride = along.x_stride;
        for (int64_t part = 0; part < step; ++part, into += span) {
            int64_t m = 0;
            for (; m < span && (m + low) * step + part < 0; ++m) {
                const int64_t at = along.inside((m + low) * step + part);
                into[m] = at < 0 ? T(0) : T(row[at * stride]);
            }
            const int64_t start = (m + low) * step + part, left = start < along.size ? (along.size - start + step - 1) / step : 0;
            const int64_t end = std::min(span, m + left);
            if (step * stride == 1) std::copy_n(row + start, std::max<int64_t>(end - m, 0), into + m);
            else for (int64_t k = m; k < end; ++k) into[k] = row[((k + low) * step + part) * stride];
            m = std::max(m, end);
            if (along.border == FILL) {
                std::fill(into + m, into + span, T(0));
                continue;
            }
            for (; m < span; ++m) {
                const int64_t at = along.inside((m + low) * step + part);
                into[m] = at < 0 ? T(0) : T(row[at * stride]);
            }
        }
    }
};

// The axes but the innermost: rows of x, of places and of taps.
struct Rows {
    const Along* along;
    int outer;           // how many there are
    int64_t first, last; // along the first axis: the places that are worked on
    int64_t low, high;   // and what they read of x
    int64_t taps = 1, places = 1, rows = 1;
    Rows(const Along* along, int outer) : Rows(along, outer, 0, outer ? along[0].places : 1) {}
    Rows(const Along* along, int outer, int64_t first, int64_t last)
        : along(along), outer(outer), first(first), last(last), low(0), high(0) {
        for (int axis = 0; axis < outer; ++axis) taps *= along[axis].taps;
        for (int axis = 0; axis < outer; ++axis) places *= axis ? along[axis].places : last - first;
        if (!outer) return;
        bool any = false;
        for (int64_t place = first; place < last; ++place)
            for (int64_t tap = 0; tap < along[0].taps; ++tap) {
                const int64_t at = along[0].at(place, tap);
                if (at < 0) continue;
                low = any ? std::min(low, at) : at;
                high = any ? std::max(high, at + 1) : at + 1;
                any = true;
            }
        rows = high - low;
        for (int axis = 1; axis < outer; ++axis) rows *= along[axis].size;
    }
    int64_t x(int64_t row) const { // the offset in x of a row
        int64_t offset = 0;
        for (int axis = outer - 1; axis > 0; row /= along[axis--].size) offset += row % along[axis].size * along[axis].x_stride;
        return outer ? offset + (low + row) * along[0].x_stride : 0;
    }
    int64_t place(int64_t place) const { // the offset in the tensor of places
        int64_t offset = 0;
        for (int axis = outer - 1; axis > 0; place /= along[axis--].places)
            offset += place % along[axis].places * along[axis].place_stride;
        return outer ? offset + (first + place) * along[0].place_stride : 0;
    }
    int64_t weight(int64_t tap) const { // the offset in the weights
        int64_t offset = 0;
        for (int axis = outer - 1; axis >= 0; tap /= along[axis--].taps)
            offset += tap % along[axis].taps * along[axis].tap_stride;
        return offset;
    }
    int64_t row(int64_t place, int64_t tap) const { // the row that a tap reads; -1 is zero
        int64_t found = 0, scale = 1;
        for (int axis = outer - 1; axis >= 0; --axis) {
            const int64_t size = axis ? along[axis].places : last - first;
            const int64_t at = along[axis].at(axis ? place % size : first + place, tap % along[axis].taps);
            if (at < 0) return -1;
            found += (axis ? at : at - low) * scale;
            scale *= along[axis].size;
            place /= size;
            tap /= along[axis].taps;
        }
        return found;
    }
};

// A tile: FILTERS sums for each of REGISTERS times the lanes. `weights` lie as [row, tap, filter].
template <typename T, int FILTERS, int REGISTERS>
static void window_tile(const T* const* rows, const int64_t* weight_of, int64_t count, const int64_t* shift, const int64_t* tap,
                        int64_t taps, const T* weights, int64_t at, T* const* into) {
    typedef typename Lanes<T>::type V;
    V sum[FILTERS][REGISTERS] = {};
    for (int64_t r = 0; r < count; ++r)
        for (int64_t k = 0; k < taps; ++k) {
            const T* x = rows[r] + shift[k] + at;
            const T* w = weights + (weight_of[r] + tap[k]) * FILTERS;
            V part[REGISTERS];
            for (int v = 0; v < REGISTERS; ++v) part[v] = *(const V*)(x + v * lanes_of<T>);
            for (int f = 0; f < FILTERS; ++f) {
                V one = w[f] - V{};
                if (REGISTERS > 1) IN_REGISTER(one);
                for (int v = 0; v < REGISTERS; ++v) sum[f][v] += one * part[v];
            }
        }
    for (int f = 0; f < FILTERS; ++f)
        for (int v = 0; v < REGISTERS; ++v) *(V*)(into[f] + v * lanes_of<T>) = sum[f][v];
}

template <typename T> struct Tile {
    int64_t filters, vectors;
    void (*sum)(const T* const*, const int64_t*, int64_t, const int64_t*, const int64_t*, int64_t, const T*, int64_t, T* const*);
    template <int FILTERS, int REGISTERS> static Tile of() { return {FILTERS, REGISTERS, window_tile<T, FILTERS, REGISTERS>}; }
    // The tile that wastes least on a row of so many places.
    static Tile best(int64_t places, int64_t filters) {
        constexpr int many = vector_bytes == 64 ? 8 : 4;
        auto vectors = [&](int64_t at_a_time) {
            const int64_t width = at_a_time * lanes_of<T>;
            return (places + width - 1) / width * at_a_time;
        };
        if (vectors(1) < std::min(vectors(2), vectors(3))) return filters > many ? of<2 * many, 1>() : of<many, 1>();
        return vectors(3) <= vectors(2) ? of<many, 3>() : of<many, 2>();
    }
};

// y[batch, filter, places] = sum over channels and taps of weights[filter, channel, taps] * x[batch, channel, windows]
template <typename T, typename Stored>
static void window_sums(const Stored* x, const Stored* weights, Stored* y, const Places& batch_x, const Places& batch_y,
                        const Places& channel_x, const Places& channel_w, const Places& filter_w, const Places& filter_y,
                        const Along* along, int axes, int threads) {
    const int outer = axes - 1;
    const Along& last = along[outer];
    const int64_t channels = channel_x.count, filters = filter_y.count;
    const Tile<T> tile = Tile<T>::best((last.places + last.divide - 1) / last.divide, filters);
    const int64_t width = tile.vectors * lanes_of<T>, blocks = (filters + tile.filters - 1) / tile.filters;
    const Inner<T> inner(last, width);
    const Rows every(along, outer);
    const int64_t inside = every.taps * last.taps, size = channels * inside * tile.filters;
    Memory<T> packed(blocks * size);
    for (int64_t f = 0; f < blocks * tile.filters; ++f)
        for (int64_t c = 0; c < channels; ++c)
            for (int64_t k = 0; k < inside; ++k) {
                const int64_t at = every.weight(k / last.taps) + k % last.taps * last.tap_stride;
                packed.data()[f / tile.filters * size + (c * inside + k) * tile.filters + f % tile.filters] =
                    f < filters ? T(weights[filter_w[f] + channel_w[c] + at]) : T(0);
            }
    int64_t row = last.places;
    for (int axis = 1; axis < outer; ++axis) row *= along[axis].size;
    // places of the first axis at a time: about 256 KiB of rows
    const int64_t block = std::max<int64_t>(4, (1 << 18) / int64_t(sizeof(T)) / std::max<int64_t>(1, channels * row));
    const int64_t cuts = outer ? (along[0].places + block - 1) / block : 1, places = batch_x.count * cuts;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Buffer<T> copied;
        Memory<const T*> read(channels * every.taps);
        Memory<int64_t> weight_of(channels * every.taps), row_of(every.taps);
        Memory<T> beside(tile.filters * width); // where a tile goes that is wider than what is left
        Memory<T*> into(tile.filters);
        Memory<Stored*> target(tile.filters);
        for (int64_t k = 0; k < tile.filters; ++k) into.data()[k] = beside.data() + k * width;
#pragma omp for schedule(static)
        for (int64_t place = 0; place < places; ++place) {
            const int64_t b = place / cuts, first = place % cuts * block;
            const Rows rows(along, outer, first, outer ? std::min(first + block, along[0].places) : 1);
            T* const copies = copied.of(channels * rows.rows * inner.pitch());
            for (int64_t c = 0; c < channels; ++c)
                for (int64_t r = 0; r < rows.rows; ++r)
                    inner.copy(x + batch_x[b] + channel_x[c] + rows.x(r), copies + (c * rows.rows + r) * inner.pitch());
            for (int64_t u = 0; u < rows.places; ++u) {
                int64_t count = 0;
                for (int64_t k = 0; k < rows.taps; ++k) row_of.data()[k] = rows.row(u, k);
                for (int64_t c = 0; c < channels; ++c)
                    for (int64_t k = 0; k < rows.taps; ++k) {
                        if (row_of.data()[k] < 0) continue;
                        read.data()[count] = copies + (c * rows.rows + row_of.data()[k]) * inner.pitch();
                        weight_of.data()[count++] = (c * rows.taps + k) * last.taps;
                    }
                for (int64_t f = 0; f < blocks; ++f)
                    for (int64_t phase = 0; phase < inner.phases; ++phase) {
                        const int64_t taps = inner.first.data()[phase], ends = inner.first.data()[phase + 1];
                        const int64_t stride = inner.phases * last.place_stride;
                        const int64_t filled = std::min(tile.filters, filters - f * tile.filters);
                        for (int64_t at = 0; at < inner.places(phase); at += width) {
                            const int64_t left = std::min(width, inner.places(phase) - at);
                            const bool whole = std::is_same<T, Stored>::value && stride == 1 && left == width
                                               && filled == tile.filters;
                            for (int64_t k = 0; k < filled; ++k)
                                target.data()[k] = y + batch_y[b] + filter_y[f * tile.filters + k] + rows.place(u)
                                                   + phase * last.place_stride + at * stride;
                            tile.sum(read.data(), weight_of.data(), count, inner.shift.data() + taps, inner.tap.data() + taps,
                                     ends - taps, packed.data() + f * size, at, whole ? (T* const*)target.data() : into.data());
                            for (int64_t k = 0; k < filled && !whole; ++k)
                                for (int64_t j = 0; j < left; ++j) target.data()[k][j * stride] = into.data()[k][j];
                        }
                    }
            }
        }
    }
}

// w[filter, channel, taps] = sum over batch and places of y[batch, filter, places] * x[batch, channel, windows]
template <typename T, int FILTERS, int TAPS>
static inline void window_dots(const T* x, const int64_t* rows, const T* const* places, int64_t count, int64_t width,
                               const int64_t* shift, typename Lanes<T>::type* total) {
    typedef typename Lanes<T>::type V;
    V sum[FILTERS][TAPS];
    for (int f = 0; f < FILTERS; ++f)
        for (int k = 0; k < TAPS; ++k) sum[f][k] = total[k * FILTERS + f];
    for (int64_t r = 0; r < count; ++r)
        for (int64_t at = 0; at < width; at += lanes_of<T>) {
            V part[TAPS];
            for (int k = 0; k < TAPS; ++k) part[k] = *(const V*)(x + rows[r] + shift[k] + at);
            for (int f = 0; f < FILTERS; ++f) {
                V one = *(const V*)(places[r] + f * width + at);
                if (TAPS > 1) IN_REGISTER(one);
                for (int k = 0; k < TAPS; ++k) sum[f][k] += one * part[k];
            }
        }
    for (int f = 0; f < FILTERS; ++f)
        for (int k = 0; k < TAPS; ++k) total[k * FILTERS + f] = sum[f][k];
}

template <typename T, typename Stored>
static void window_weights(const Stored* x, const Stored* y, Stored* weights, const Places& batch_x, const Places& batch_y,
                           const Places& channel_x, const Places& channel_w, const Places& filter_w, const Places& filter_y,
                           const Along* along, int axes, int threads) {
    typedef typename Lanes<T>::type V;
    constexpr int FILTERS = vector_bytes == 64 ? 8 : 4;
    constexpr int64_t lanes = lanes_of<T>;
    const int outer = axes - 1;
    const Along& last = along[outer];
    const Inner<T> inner(last, lanes);
    const Rows every(along, outer);
    const int64_t inside = every.taps * last.taps, width = (last.places + lanes - 1) / lanes * lanes;
    const int64_t block = std::max<int64_t>(4, 512 / width); // rows at a time
    // A thread adds up the weights between some channels and some filters: many, so that a row is copied for many; and no more
    // than its cache holds.
    auto parts = [](int64_t all, int64_t some) { return (all + some - 1) / some; };
    int64_t c_many = std::min<int64_t>(channel_x.count, 48), f_many = 2 * FILTERS;
    if (parts(channel_x.count, c_many) * parts(filter_y.count, f_many) < 2 * threads) f_many = FILTERS;
    while (c_many > 4 && parts(channel_x.count, c_many) * parts(filter_y.count, f_many) < 2 * threads) c_many = (c_many + 1) / 2;
    const int64_t f_parts = parts(filter_y.count, f_many), places = parts(channel_x.count, c_many) * f_parts;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Buffer<T> copied, placed;
        Buffer<int64_t> reads;
        Buffer<const T*> ofs;
        Memory<T> added(c_many * f_many * inside * lanes);
#pragma omp for schedule(static)
        for (int64_t place = 0; place < places; ++place) {
            const int64_t c_first = place / f_parts * c_many, f_first = place % f_parts * f_many;
            const int64_t c_count = std::min(c_many, channel_x.count - c_first);
            const int64_t f_count = std::min(f_many, filter_y.count - f_first);
            std::fill_n(added.data(), c_many * f_many * inside * lanes, T(0));
            V* total = (V*)added.data(); // [channel, block of filters, tap, filter]
            for (int64_t b = 0; b < batch_x.count; ++b)
                for (int64_t first = 0; first < (outer ? along[0].places : 1); first += block) {
                    const Rows rows(along, outer, first, outer ? std::min(first + block, along[0].places) : 1);
                    T* const copies = copied.of(c_count * rows.rows * inner.pitch());
                    T* const given = placed.of(rows.places * f_many * width);
                    int64_t* const read = reads.of(rows.places);
                    const T** const of = ofs.of(rows.places);
                    for (int64_t c = 0; c < c_count; ++c)
                        for (int64_t r = 0; r < rows.rows; ++r)
                            inner.copy(x + batch_x[b] + channel_x[c_first + c] + rows.x(r),
                                       copies + (c * rows.rows + r) * inner.pitch());
                    for (int64_t f = 0; f < f_many; ++f)
                        for (int64_t u = 0; u < rows.places; ++u) {
                            T* into = given + (f / FILTERS * rows.places * FILTERS + u * FILTERS + f % FILTERS) * width;
                            const int64_t found = f < f_count ? last.places : 0;
                            const Stored* from = found ? y + batch_y[b] + filter_y[f_first + f] + rows.place(u) : nullptr;
                            if (last.place_stride == 1) std::copy_n(from, found, into);
                            else for (int64_t v = 0; v < found; ++v) into[v] = from[v * last.place_stride];
                            std::fill(into + found, into + width, T(0));
                        }
                    for (int64_t k = 0; k < rows.taps; ++k)
                        for (int64_t f = 0; f < f_count; f += FILTERS) {
                            int64_t count = 0;
                            for (int64_t u = 0; u < rows.places; ++u) {
                                const int64_t r = rows.row(u, k);
                                if (r < 0) continue;
                                read[count] = r * inner.pitch();
                                of[count++] = given + (f * rows.places + u * FILTERS) * width;
                            }
                            for (int64_t c = 0; c < c_count; ++c) {
                                V* here = total + ((c * f_many + f) * inside + k * last.taps * FILTERS);
                                const T* from = copies + c * rows.rows * inner.pitch();
                                const int64_t* shift = inner.shift.data();
                                int64_t tap = 0;
                                for (; tap + 3 <= last.taps; tap += 3)
                                    window_dots<T, FILTERS, 3>(from, read, of, count, width, shift + tap, here + tap * FILTERS);
                                for (; tap < last.taps; ++tap)
                                    window_dots<T, FILTERS, 1>(from, read, of, count, width, shift + tap, here + tap * FILTERS);
                            }
                        }
                }
            for (int64_t c = 0; c < c_count; ++c)
                for (int64_t f = 0; f < f_count; ++f)
                    for (int64_t k = 0; k < inside; ++k) {
                        const int64_t at = (c * f_many + f / FILTERS * FILTERS) * inside + k * FILTERS + f % FILTERS;
                        const T* lane = (const T*)(total + at);
                        T sum = T(0);
                        for (int64_t v = 0; v < lanes; ++v) sum += lane[v];
                        weights[filter_w[f_first + f] + channel_w[c_first + c] + every.weight(k / last.taps)
                                + k % last.taps * last.tap_stride] = sum;
                    }
        }
    }
}
"""
