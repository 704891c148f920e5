
# What the scripts that run workers end with: one for each name that is left among the
# arguments, side by side. The status is that of the last one that failed.
failed=0
workers=
for name; do
	worker "$name" &
	workers="$workers $!"
done
for pid in $workers; do
	wait "$pid" || failed=$?
done
exit $failed
