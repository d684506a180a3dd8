// Package lab brings up real small Debian 12 servers on one machine, with a
// real apt repository, for the end-to-end tests of the agent. It is imported
// by tests only, those behind the build tag e2e.
//
// A server is an overlay on one cached Debian root, with process, mount, host
// name and network namespaces of its own, started by a small PID 1 (init1) that
// keeps one service running, or becomes Debian's systemd (Base.Systemd), in a
// control group of its own. Apt, dpkg, maintainer scripts, boot ids and
// reboot(2) are the real ones. What is not: the kernel and the clock are the
// machine's, and the disk is memory, so that a power cut kills every process
// but loses no write. Systemd knows that it is in a container: it may read and
// not write what is the machine's kernel's.
//
//	off ── Boot ──▶ up ── reboot(2) inside ──▶ up, Boots()+1, /run empty
//	 ▲               │
//	 └──── Kill ─────┘  (a power cut; what was written stays)
//
// Everything talks on a network that belongs to the lab alone: a bridge in a
// network namespace that has no way out. The repository is served there; the
// test reaches it by Lab.DialContext and Lab.Listen, and puts programs there
// by Lab.Command.
//
// A crash: namespaces are held by descriptors and servers carry a parent-death
// signal, so both go with the test process however it ends. Mounts and files
// stay, under a lock that the kernel released; the next lab removes them.
//
// It needs root, Go, and the Debian packages mmdebstrap, iproute2 and
// util-linux. The first lab on a machine takes some 15 seconds more and the
// network, for its root comes from the mirror that the machine's own apt is set
// up with; later ones need neither. UPKEEP_CACHE names the cache folder,
// os.UserCacheDir()/upkeep by default. A list of Debian's own packages
// (Base.Debian) has a root of its own there, of some hundred MiB and minutes.
//
// Beside servers there are roots (Root, RPMRoot) in which a test runs a copy of
// itself (InRoot): Debian 12 with its real apt, or with the real dnf, zypper and
// rpm that it packages, and packages of the lab's own. The roots for rpm take
// half a minute each when they are first made.
package lab
