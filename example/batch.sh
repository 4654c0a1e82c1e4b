# Adds up numbers, a thousand a minute, and says how far it is.
sum=0
number=0
while true; do
  step=0
  while [ "$step" -lt 1000 ]; do
    step=$((step + 1))
    number=$((number + 1))
    sum=$((sum + number))
  done
  echo "batch: the numbers up to $number add up to $sum"
  sleep 60
done
