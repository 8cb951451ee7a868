# Boots a systemd as PID 1 of the namespaces this shell was started in, on a root
# of the host's programs and nothing else of it: own units, users, journal and
# network. Its folder $1 holds `etc` (becomes /etc/tocsin) and `drop-in`.
set -e
umask 022
folder=$1 tocsin=$2 repository=$3
mount --make-rprivate /
root=$folder/root
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr etc/systemd/system etc/tocsin var/log/journal var/tmp run proc sys dev tmp root host
chmod 1777 tmp var/tmp
ln -s ../run var/run

# The host's programs, read only; ours where the unit looks for it.
mount --rbind /usr usr
mount -o remount,bind,ro usr
mount -t tmpfs -o mode=755 tmpfs usr/local
mkdir usr/local/bin
touch usr/local/bin/tocsin
mount --bind "$tocsin" usr/local/bin/tocsin
for name in bin sbin lib lib32 lib64; do
    if [ -L "/$name" ]; then
        ln -s "$(readlink "/$name")" "$name"
    elif [ -d "/$name" ]; then
        mkdir "$name"
        mount --bind -o ro "/$name" "$name"
    fi
done
# No generator of the host looks around in here.
[ ! -d usr/lib/systemd/system-generators ] || mount -t tmpfs tmpfs usr/lib/systemd/system-generators

cp /etc/ld.so.cache etc/
mount --bind "$folder/etc" etc/tocsin
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >etc/passwd
printf 'root:x:0:\nsystemd-journal:x:190:\nnogroup:x:65534:\n' >etc/group
printf 'passwd: files systemd\ngroup: files systemd\n' >etc/nsswitch.conf
printf '127.0.0.1 localhost\n' >etc/hosts
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
mkdir "var/log/journal/$(cat etc/machine-id)"
chown -R 0:190 var/log/journal
chmod -R 2755 var/log/journal

# The few units that are needed: with the whole set systemd would set the
# kernel's parameters, which are the host's too.
units=/usr/lib/systemd/system
for unit in sysinit basic multi-user shutdown umount sockets timers paths slices local-fs swap \
    network network-online; do
    cp "$units/$unit.target" etc/systemd/system/
done
cp "$units/systemd-journald.service" "$units/systemd-journald.socket" etc/systemd/system/
cp "$repository/config/systemd/tocsin.service" etc/systemd/system/
cp -r "$folder/drop-in" etc/systemd/system/tocsin.service.d
cat >etc/systemd/system/machine.target <<'UNIT'
[Unit]
Requires=multi-user.target systemd-journald.service crypto-proxy.service
After=multi-user.target
UNIT
# Logs what it is given through the pipe.
cat >etc/systemd/system/crypto-proxy.service <<'UNIT'
[Service]
ExecStartPre=/bin/mkfifo /run/proxy
ExecStart=/bin/sh -c 'exec /bin/cat <>/run/proxy'
UNIT

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/shm dev/pts dev/mqueue
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
# The journal is in /var from the start, as after a boot's flush.
mkdir -p run/systemd/journal
touch run/systemd/journal/flushed

pivot_root . host
umount -l /host
rmdir /host
exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/etc/systemd/system \
    /lib/systemd/systemd --unit=machine.target
