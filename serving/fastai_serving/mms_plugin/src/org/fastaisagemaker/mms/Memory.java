package org.fastaisagemaker.mms;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Memory that is left to this container: what its cgroup's limit leaves, and what the machine has. */
final class Memory {
    private static final long NONE = 1L << 60;

    private static long kills = kills();
    private static long lastKill;

    private Memory() {}

    /** Whether the kernel ended a process of this container for want of memory since {@code begin} (System.nanoTime). */
    static synchronized boolean shortSince(long begin) {
        long now = kills();
        if (now > kills) {
            kills = now;
            lastKill = System.nanoTime();
        }
        return lastKill != 0 && lastKill - begin > 0;
    }

    private static long kills() {
        Path root = Path.of("/sys/fs/cgroup");
        long old = field(root.resolve("memory/memory.oom_control"), "oom_kill", 1, 0);
        return old + field(root.resolve("memory.events"), "oom_kill", 1, 0);
    }

    /** Bytes. */
    static long free() {
        long free = NONE;
        free = Math.min(free, left("memory.max", "memory.current", "inactive_file"));
        free = Math.min(free, left("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"));
        return Math.min(free, field(Path.of("/proc/meminfo"), "MemAvailable:", 1024, NONE));
    }

    /** Bytes that this container may use, or -1 when it has no limit of its own. */
    static long limit() {
        for (String name : new String[] {"memory.max", "memory/memory.limit_in_bytes"}) {
            try {
                long limit = Long.parseLong(Files.readString(Path.of("/sys/fs/cgroup", name)).strip());
                return limit < NONE ? limit : -1;
            } catch (IOException | NumberFormatException e) {
                continue; // no such version of cgroups, or no limit ("max")
            }
        }
        return -1;
    }

    private static long left(String limit, String usage, String reclaimable) {
        Path root = Path.of("/sys/fs/cgroup");
        try {
            long most = Long.parseLong(Files.readString(root.resolve(limit)).strip());
            long used = Long.parseLong(Files.readString(root.resolve(usage)).strip());
            Path statistics = root.resolve(usage).resolveSibling("memory.stat");
            return most - used + field(statistics, reclaimable, 1, 0);
        } catch (IOException | NumberFormatException e) {
            return NONE; // no such version of cgroups, or no limit ("max")
        }
    }

    private static long field(Path path, String name, long unit, long otherwise) {
        try {
            for (String line : Files.readAllLines(path)) {
                String[] words = line.split("\\s+");
                if (words[0].equals(name)) {
                    return Long.parseLong(words[1]) * unit;
                }
            }
        } catch (IOException | RuntimeException e) {
            return otherwise;
        }
        return otherwise;
    }
}
