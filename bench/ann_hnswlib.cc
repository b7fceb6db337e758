// hnswlib (Debian package libhnswlib-dev) behind the same interface as ours.
#include "bench/ann_engine.h"

#include <hnswlib/hnswlib.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace
{

struct Peer {
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;
};

void *peer_build(const ann_spec *spec, const float *rows, unsigned threads)
{
    auto peer = std::make_unique<Peer>();
    std::atomic<uint32_t> next{1};
    std::vector<std::thread> workers;

    if (spec->metric == ANN_L1)
        return nullptr;
    if (spec->metric == ANN_L2)
        peer->space = std::make_unique<hnswlib::L2Space>(spec->dim);
    else
        peer->space = std::make_unique<hnswlib::InnerProductSpace>(spec->dim);
    peer->graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(peer->space.get(), spec->rows,
                                                                    spec->m, spec->ef_construction);
    peer->graph->addPoint(rows, 0);
    auto work = [&] {
        for (uint32_t i = next++; i < spec->rows; i = next++)
            peer->graph->addPoint(rows + static_cast<size_t>(i) * spec->dim, i);
    };
    for (unsigned t = 1; t < threads; t++)
        workers.emplace_back(work);
    work();
    for (auto &w : workers)
        w.join();
    return peer.release();
}

uint32_t peer_search(void *index, const float *query, uint32_t k, uint32_t ef, uint32_t *out)
{
    auto *peer = static_cast<Peer *>(index);

    peer->graph->setEf(ef);
    auto found = peer->graph->searchKnn(query, k);
    auto count = static_cast<uint32_t>(found.size());
    for (uint32_t i = count; i-- > 0; found.pop())
        out[i] = static_cast<uint32_t>(found.top().second);
    return count;
}

double peer_bytes(void *index)
{
    auto *peer = static_cast<Peer *>(index);

    return static_cast<double>(peer->graph->size_data_per_element_) + sizeof(char *) +
           static_cast<double>(peer->graph->size_links_per_element_) / 15;
}

void peer_destroy(void *index)
{
    delete static_cast<Peer *>(index);
}

} // namespace

extern "C" const ann_engine ann_hnswlib = {
    "hnswlib", peer_build, peer_search, peer_bytes, peer_destroy,
};
